package engine

import (
	"encoding/json"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Attribute is a JSON value as DynamoDB has it.
func Attribute(v any) types.AttributeValue {
	switch v := v.(type) {
	case string:
		return &types.AttributeValueMemberS{Value: v}
	case json.Number:
		return &types.AttributeValueMemberN{Value: v.String()}
	case bool:
		return &types.AttributeValueMemberBOOL{Value: v}
	case map[string]any:
		m := map[string]types.AttributeValue{}
		for name, member := range v {
			m[name] = Attribute(member)
		}
		return &types.AttributeValueMemberM{Value: m}
	case []any:
		var list []types.AttributeValue
		for _, e := range v {
			list = append(list, Attribute(e))
		}
		return &types.AttributeValueMemberL{Value: list}
	}
	return &types.AttributeValueMemberNULL{Value: true}
}
