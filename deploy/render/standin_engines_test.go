//go:build engines

package render

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
	"github.com/zclconf/go-cty/cty/msgpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
)

// standIn stands in for a provider towards Terraform: it has the provider's schema,
// of what the modules use, and a cloud that accepts everything and remembers
// it. So Terraform itself judges the modules where the provider cannot be had: their
// references, their order, what is known when, where the token goes. What the cloud
// would say to the arguments only the cloud can.
//
// It speaks version 5 of Terraform's plugin protocol, of which it needs little, by
// the field numbers of
// https://github.com/hashicorp/terraform/blob/main/docs/plugin-protocol/tfplugin5.8.proto.
type standIn struct {
	extract extract
	known   map[string]string // computed attributes, by TYPE.NAME

	mu      sync.Mutex
	events  []string            // create, update and delete, and the type
	secrets map[string][]string // values of write-only arguments, by TYPE.NAME
	live    map[string]int      // resources by type
}

// startStandIn starts one, and returns what Terraform has to have in
// TF_REATTACH_PROVIDERS.
func startStandIn(t *testing.T, e extract, known map[string]string) (*standIn, string) {
	t.Helper()
	s := &standIn{extract: e, known: known, secrets: map[string][]string{}, live: map[string]int{}}
	dir, err := os.MkdirTemp("", "provider-*") // a socket's path has to be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.ForceServerCodec(bytesCodec{}), grpc.UnknownServiceHandler(s.serve), grpc.MaxRecvMsgSize(64<<20))
	go server.Serve(l)
	t.Cleanup(server.Stop)
	type addr struct{ Network, String string }
	reattach, err := json.Marshal(map[string]any{e.Provider: map[string]any{
		"Protocol": "grpc", "ProtocolVersion": 5, "Pid": os.Getpid(), "Test": true, "Addr": addr{"unix", socket},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return s, "TF_REATTACH_PROVIDERS=" + string(reattach)
}

// bytesCodec leaves messages as they are.
type bytesCodec struct{}

func (bytesCodec) Name() string                  { return "proto" }
func (bytesCodec) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (bytesCodec) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = append([]byte(nil), data...)
	return nil
}

func (s *standIn) serve(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	var request []byte
	if err := stream.RecvMsg(&request); err != nil {
		return err
	}
	answer, err := s.call(stream.Context(), method, protoFields(request))
	if err != nil {
		return err
	}
	return stream.SendMsg(&answer)
}

// protoFields returns a message's fields that have a length; the last of each.
func protoFields(b []byte) map[protowire.Number][]byte {
	all := map[protowire.Number][]byte{}
	for len(b) > 0 {
		n, kind, size := protowire.ConsumeTag(b)
		if size < 0 {
			return all
		}
		b = b[size:]
		if kind == protowire.BytesType {
			all[n], _ = protowire.ConsumeBytes(b)
		}
		size = protowire.ConsumeFieldValue(n, kind, b)
		if size < 0 {
			return all
		}
		b = b[size:]
	}
	return all
}

func protoField(b []byte, n protowire.Number, content []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), content)
}

func protoNumber(b []byte, n protowire.Number, v int) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), uint64(v))
}

func protoFlag(b []byte, n protowire.Number, is bool) []byte {
	if is {
		return protoNumber(b, n, 1)
	}
	return b
}

// block is a Schema.Block.
func (s *schema) message() []byte {
	var b []byte
	for name := range s.Attributes {
		flags, t, _ := s.attribute(name)
		text, err := ctyjson.MarshalType(t)
		if err != nil {
			panic(err)
		}
		has := func(flag string) bool { return strings.Contains(" "+strings.Join(flags, " ")+" ", " "+flag+" ") }
		a := protoField(protoField(nil, 1, []byte(name)), 2, text)
		a = protoFlag(protoFlag(protoFlag(protoFlag(a, 4, has("required")), 5, has("optional")), 6, has("computed")), 10, has("write-only"))
		b = protoField(b, 2, a)
	}
	for name, n := range s.Blocks {
		nesting := map[string]int{"single": 1, "list": 2, "set": 3}[n.Nesting]
		b = protoField(b, 3, protoNumber(protoNumber(protoNumber(protoField(protoField(nil, 1, []byte(name)), 2, n.message()), 3, nesting), 4, n.Min), 5, n.Max))
	}
	return b
}

func (s *standIn) call(_ context.Context, method string, request map[protowire.Number][]byte) ([]byte, error) {
	switch method[strings.LastIndexByte(method, '/')+1:] {
	case "Check": // of health
		return protoNumber(nil, 1, 1), nil
	case "GetSchema":
		var b []byte
		for header, schema := range s.extract.Schemas {
			kind, name, _ := strings.Cut(header, " ")
			text := protoField(nil, 2, schema.message())
			switch kind {
			case "provider":
				b = protoField(b, 1, text)
			case "resource":
				b = protoField(b, 2, protoField(protoField(nil, 1, []byte(name)), 2, text))
			case "data":
				b = protoField(b, 3, protoField(protoField(nil, 1, []byte(name)), 2, text))
			}
		}
		return b, nil
	case "PrepareProviderConfig":
		return protoField(nil, 1, request[1]), nil
	case "ValidateResourceTypeConfig", "ValidateDataSourceConfig", "Configure", "Stop":
		return nil, nil
	case "UpgradeResourceState":
		return protoField(nil, 1, protoField(nil, 2, protoFields(request[3])[1])), nil
	case "ReadResource":
		return protoField(nil, 1, request[2]), nil
	case "PlanResourceChange":
		return s.plan(string(request[1]), request[2], request[3])
	case "ApplyResourceChange":
		return s.apply(string(request[1]), request[2], request[3], request[4])
	case "ReadDataSource":
		v, err := s.decode("data "+string(request[1]), request[2])
		if err != nil {
			return nil, err
		}
		return s.encode("data "+string(request[1]), s.filled("data "+string(request[1]), v))
	}
	return nil, status.Errorf(codes.Unimplemented, "%s", method)
}

func (s *standIn) decode(header string, dynamic []byte) (cty.Value, error) {
	return msgpack.Unmarshal(protoFields(dynamic)[1], s.extract.Schemas[header].object())
}

// encode returns a message whose field 1 is a DynamicValue.
func (s *standIn) encode(header string, v cty.Value) ([]byte, error) {
	text, err := msgpack.Marshal(v, s.extract.Schemas[header].object())
	return protoField(nil, 1, protoField(nil, 1, text)), err
}

// replacing are the arguments with which a resource is made anew.
var replacing = map[string]string{"google_secret_manager_secret_version": "secret_data_wo_version", "azurerm_cosmosdb_account": "key_vault_key_id"}

func (s *standIn) plan(kind string, prior, proposed []byte) ([]byte, error) {
	header := "resource " + kind
	before, err := s.decode(header, prior)
	if err != nil {
		return nil, err
	}
	after, err := s.decode(header, proposed)
	if err != nil || after.IsNull() {
		return protoField(nil, 1, proposed), err
	}
	values := after.AsValueMap()
	anew := before.IsNull()
	if name := replacing[kind]; name != "" && !anew && !before.GetAttr(name).RawEquals(values[name]) {
		anew = true
	}
	for name, v := range values {
		flags, t, ok := s.extract.Schemas[header].attribute(name)
		switch {
		case ok && flags[len(flags)-1] == "write-only", ok && strings.Contains(strings.Join(flags, " "), "write-only"):
			values[name] = cty.NullVal(t)
		case ok && anew && strings.Contains(strings.Join(flags, " "), "computed") && (v.IsNull() || !before.IsNull()):
			values[name] = cty.UnknownVal(t)
		}
	}
	answer, err := s.encode(header, cty.ObjectVal(values))
	if name := replacing[kind]; name != "" && anew && !before.IsNull() {
		answer = protoField(answer, 2, protoField(nil, 1, protoField(nil, 1, []byte(name))))
	}
	return answer, err
}

func (s *standIn) apply(kind string, prior, planned, config []byte) ([]byte, error) {
	header := "resource " + kind
	before, err := s.decode(header, prior)
	if err != nil {
		return nil, err
	}
	after, err := s.decode(header, planned)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case after.IsNull():
		s.live[kind]--
		s.events = append(s.events, "delete "+kind)
		return protoField(nil, 1, planned), nil
	case before.IsNull():
		s.live[kind]++
		s.events = append(s.events, "create "+kind)
	default:
		s.events = append(s.events, "update "+kind)
	}
	given, err := s.decode(header, config)
	if err != nil {
		return nil, err
	}
	for name := range s.extract.Schemas[header].Attributes {
		flags, _, _ := s.extract.Schemas[header].attribute(name)
		if v := given.GetAttr(name); strings.Contains(strings.Join(flags, " "), "write-only") && !v.IsNull() {
			s.secrets[kind+"."+name] = append(s.secrets[kind+"."+name], v.AsString())
		}
	}
	return s.encode(header, s.filled(header, after))
}

// filled gives what is unknown, or null in a data source, a value.
func (s *standIn) filled(header string, v cty.Value) cty.Value {
	_, kind, _ := strings.Cut(header, " ")
	nth := 0 // data stays as it is
	if strings.HasPrefix(header, "resource ") {
		nth = len(s.events)
	}
	values := v.AsValueMap()
	for name, v := range values {
		_, t, _ := s.extract.Schemas[header].attribute(name)
		if v.IsKnown() && !(v.IsNull() && strings.HasPrefix(header, "data ")) {
			continue
		}
		switch known, ok := s.known[kind+"."+name]; {
		case ok:
			values[name] = cty.StringVal(known)
		case t == cty.String:
			values[name] = cty.StringVal(fmt.Sprintf("%s-of-%s-%d", name, kind, nth))
		default:
			values[name] = cty.NullVal(v.Type())
		}
	}
	return cty.ObjectVal(values)
}
