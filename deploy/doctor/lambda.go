package doctor

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"

	"hotreader"
	"hotreader/codec/twinmaker"
	"hotreader/config"
	"hotreader/deploy/names"
	"hotreader/internal/bounded/awsbound"
	"hotreader/internal/component"
)

// codes are the errorTypes of the functions on AWS.
var codes = map[string]hotreader.Code{
	"HotReader.InvalidQuery":    hotreader.CodeInvalid,
	"HotReader.Unauthenticated": hotreader.CodeUnauthenticated,
	"HotReader.Forbidden":       hotreader.CodeForbidden,
	"HotReader.NotFound":        hotreader.CodeNotFound,
	"HotReader.TooLarge":        hotreader.CodeTooLarge,
	"HotReader.Throttled":       hotreader.CodeThrottled,
	"HotReader.Overloaded":      hotreader.CodeOverloaded,
	"HotReader.Unavailable":     hotreader.CodeUnavailable,
	"HotReader.Deadline":        hotreader.CodeDeadline,
	"HotReader.Canceled":        hotreader.CodeCanceled,
	"HotReader.StoreFailed":     hotreader.CodeStore,
	"HotReader.Corrupt":         hotreader.CodeCorrupt,
	"HotReader.Unreadable":      hotreader.CodeUnreadable,
	"HotReader.NotRestored":     hotreader.CodeNotRestored,
	"HotReader.Protocol":        hotreader.CodeProtocol,
	"HotReader.Config":          hotreader.CodeConfig,
	"HotReader.Internal":        hotreader.CodeInternal,
}

// examineFunctions examines the readers on AWS as TwinMaker calls them.
func (e *examination) examineFunctions(ctx context.Context) {
	e.in.Asking(componentOf(Reader, config.AWS))
	client, err := e.lambda(ctx)
	if err != nil {
		e.add(Check{Part: Reader, Cloud: config.AWS, Name: "reached"}.fails(err.Error(), "give this machine AWS credentials and a region, as for the AWS command line"))
		return
	}
	d, twin := e.in.Device, e.in.Topology.Twin
	e.invoke(ctx, client, question{config.LastEntry, "latest values of " + d.ID, Event(twin, d, config.LastEntry, 1, e.in.Now()), d.Properties[:min(len(d.Properties), mostSelected)], e.nothing})
	e.invoke(ctx, client, question{config.History, "history of " + d.ID, Event(twin, d, config.History, 1, e.in.Now()), nil, e.empty})
	if d = e.in.Shared; d.Type == "" {
		return
	}
	what := "history"
	if d.Alarm != "" {
		what = "alarms"
	}
	e.invoke(ctx, client, question{config.History, what + " of the type " + d.Type, FleetEvent(twin, d, e.in.Now()), nil, func(c Check) Check {
		c.Says = "no value"
		return c
	}})
}

// question is an event for a function.
type question struct {
	role  config.Role
	name  string // of the check
	event []byte
	asked []string          // properties of which an answer without values is worth a warning
	empty func(Check) Check // judges an answer without values
}

func (e *examination) lambda(ctx context.Context) (*lambda.Client, error) {
	d := e.in.Deployed[config.AWS]
	if d.LambdaURL != "" { // of this machine, where no signature is checked
		local := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "local", SecretAccessKey: "local"}, nil
		})
		return lambda.New(lambda.Options{Region: cmp.Or(d.Region, "local"), BaseEndpoint: &d.LambdaURL, Credentials: local, HTTPClient: &e.http, RetryMaxAttempts: 1, APIOptions: awsbound.Options()}), nil
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithRegion(d.Region), awsconfig.WithRetryMaxAttempts(2), awsconfig.WithLogger(logging.Nop{}), awsconfig.WithAPIOptions(awsbound.Options()))
	if err != nil {
		return nil, err
	}
	if _, err := cfg.Credentials.Retrieve(ctx); err != nil {
		return nil, fmt.Errorf("this machine has no AWS credentials: %w", err)
	}
	if cfg.Region == "" {
		return nil, errors.New("no AWS region is given: set AWS_REGION, or aws.region in config_hot_reader.json")
	}
	return lambda.NewFromConfig(cfg), nil
}

// definition, property and dataType are an event's, as TwinMaker sends them.
type (
	dataType struct {
		Type string `json:"type"`
	}
	definition struct {
		DataType           dataType          `json:"dataType"`
		IsTimeSeries       bool              `json:"isTimeSeries"`
		IsExternalID       bool              `json:"isExternalId"`
		IsStoredExternally bool              `json:"isStoredExternally"`
		Configuration      map[string]string `json:"configuration,omitempty"`
	}
	property struct {
		Definition definition        `json:"definition"`
		Value      map[string]string `json:"value,omitempty"`
	}
)

// mostSelected is how many properties TwinMaker asks for at once.
const mostSelected = 10

// externalID is the property of the component type that holds the device's ID.
func (d *Device) externalID() string {
	if d.Alarm != "" {
		return component.AlarmKey
	}
	return component.ExternalID
}

// properties are those of the component type that package deploy makes.
func (d *Device) properties() map[string]property {
	all := map[string]property{d.externalID(): {Definition: definition{DataType: dataType{"STRING"}, IsExternalID: true}}}
	for i, name := range d.Properties {
		t := dataType{"DOUBLE"}
		if i < len(d.Types) && d.Types[i] != hotreader.Untyped {
			t.Type = d.Types[i].String()
		}
		all[name] = property{Definition: definition{DataType: t, IsTimeSeries: true, IsStoredExternally: true}}
		all[name+component.LatestSuffix] = property{Definition: definition{DataType: t, IsStoredExternally: true, Configuration: map[string]string{twinmaker.StoredAs: name}}}
	}
	if d.Alarm != "" && d.Alarm != component.AlarmStatus {
		all[component.AlarmStatus] = property{Definition: definition{DataType: dataType{"STRING"}, IsTimeSeries: true, IsStoredExternally: true,
			Configuration: map[string]string{twinmaker.StoredAs: d.Alarm}}}
	}
	return all
}

// illegal is what a component's name cannot have in TwinMaker, and a device's ID can;
// illegalID what an entity's ID cannot have.
var (
	illegal   = regexp.MustCompile(`[^a-zA-Z_\-0-9]`)
	illegalID = regexp.MustCompile(`[^a-zA-Z_\-0-9.:]`)
)

// Event is what TwinMaker sends a reader about a device: for its newest rows, at the
// most so many, or for its latest values.
func Event(twin string, d Device, role config.Role, rows int, now time.Time) []byte {
	all, id := d.properties(), d.externalID()
	all[id] = property{all[id].Definition, map[string]string{"stringValue": d.ID}}
	selected := slices.Clone(d.Properties[:min(len(d.Properties), mostSelected)])
	if role == config.LastEntry {
		for i := range selected {
			selected[i] += component.LatestSuffix
		}
	}
	event := map[string]any{"entityId": illegalID.ReplaceAllLiteralString(d.ID, "_"), "componentName": illegal.ReplaceAllLiteralString(d.ID, "_"), "selectedProperties": selected, "maxResults": 200}
	if role == config.History {
		event["maxResults"] = rows * len(selected)
		d.newest(event, now)
	}
	return d.event(twin, event, all)
}

// FleetEvent is what TwinMaker sends the history reader about all devices of d's
// component type: for their alarms, as an alarm panel asks, or for their properties.
func FleetEvent(twin string, d Device, now time.Time) []byte {
	selected := d.Properties[:min(len(d.Properties), mostSelected)]
	if d.Alarm != "" {
		selected = []string{component.AlarmStatus}
	}
	event := map[string]any{"selectedProperties": selected, "maxResults": 200}
	d.newest(event, now)
	return d.event(twin, event, d.properties())
}

// newest makes an event ask for the newest values first: also of records that come while
// it lies in a file.
func (d *Device) newest(event map[string]any, now time.Time) {
	start := time.Date(1899, 12, 31, 0, 0, 0, 0, time.UTC)
	if d.Days > 0 {
		start = now.UTC().AddDate(0, 0, -d.Days)
	}
	event["startTime"], event["endTime"] = start.Format(time.RFC3339), now.UTC().AddDate(0, 1, 0).Format(time.RFC3339)
	event["orderByTime"] = "DESCENDING"
}

func (d *Device) event(twin string, event map[string]any, all map[string]property) []byte {
	event["workspaceId"], event["properties"], event["warnings"] = names.Workspace(twin), all, true
	event["componentTypeId"] = names.ComponentType(twin, d.ID)
	if d.Type != "" {
		event["componentTypeId"] = twin + "-" + d.Type
	}
	text, _ := json.MarshalIndent(event, "", "  ") // which texts and numbers cannot fail
	return text
}

// invoke sends one event.
func (e *examination) invoke(ctx context.Context, client *lambda.Client, q question) {
	c := Check{Part: Reader, Cloud: config.AWS, Name: q.name, Verdict: OK}
	ctx, cancel := context.WithTimeout(ctx, e.in.Timeout)
	defer cancel()
	name := e.function(q.role)
	began := time.Now()
	out, err := client.Invoke(ctx, &lambda.InvokeInput{FunctionName: &name, Payload: q.event})
	c.Took = time.Since(began)
	if timedOut(err) && ctx.Err() != nil {
		e.add(e.silent(c))
		return
	}
	if err != nil {
		e.add(c.fails(e.uninvoked(err, name)))
		return
	}
	if out.FunctionError != nil {
		e.functionError(c, name, out.Payload)
		return
	}
	var a struct {
		PropertyValues json.RawMessage     `json:"propertyValues"`
		Warnings       []hotreader.Warning `json:"warnings"`
	}
	err = json.Unmarshal(out.Payload, &a)
	e.warnings(a.Warnings)
	found, ok := values(a.PropertyValues)
	switch {
	case err != nil || !ok:
		c = c.fails(fmt.Sprintf("%s answers something else than TwinMaker's JSON: %q", name, clip(string(out.Payload))),
			"another function has the name, or it is of another version: "+e.deployOnly(config.AWS))
	case q.asked != nil || len(found) == 0:
		c = e.judged(c, q.asked, found, q.empty)
		if c.Verdict == Warning && len(found) > 0 && e.instead != "" {
			c.Says += "; " + e.instead
		}
	case len(e.misfits) > 0:
		remedy := ""
		if !e.unfit {
			e.unfit, remedy = true, e.declare()
		}
		c = c.warns(fmt.Sprintf("%.1000s", strings.Join(e.misfits, "; ")), remedy)
	}
	if e.api == refusing && c.Verdict != Failed {
		e.blameFile() // the reader's token is good there
		e.api = sound
	}
	e.add(c)
}

// function is the name of role's function.
func (e *examination) function(role config.Role) string {
	if name := e.in.Deployed[config.AWS].Functions[role]; name != "" {
		return name
	}
	for _, s := range e.in.Topology.Sides {
		for _, f := range s.Functions {
			if s.Cloud == config.AWS && f.Role == role {
				return f.Name
			}
		}
	}
	return e.in.Topology.Twin + "-" + string(role)
}

// uninvoked says why a function was not invoked at all.
func (e *examination) uninvoked(err error, name string) (says, remedy string) {
	if _, missing := errors.AsType[*types.ResourceNotFoundException](err); missing {
		return "there is no function " + name, e.deployOnly(config.AWS) + "; or is the region another one?"
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		says = fmt.Sprintf("AWS does not invoke %s: %s: %s", name, api.ErrorCode(), clip(api.ErrorMessage()))
		if status, ok := errors.AsType[interface {
			error
			HTTPStatusCode() int
		}](err); ok && (status.HTTPStatusCode() == http.StatusForbidden || status.HTTPStatusCode() == http.StatusUnauthorized) {
			return says, "the credentials of this machine need lambda:InvokeFunction on it"
		}
		return says, "try again; look at the function in AWS's console"
	}
	says, remedy = e.unreached(err, config.AWS)
	return "AWS Lambda is not reached: " + says, remedy
}

// functionError adds what a function's own failure says, and about which component.
func (e *examination) functionError(c Check, name string, payload []byte) {
	var f struct{ ErrorType, ErrorMessage string }
	if json.Unmarshal(payload, &f) != nil || f.ErrorType == "" && f.ErrorMessage == "" {
		f.ErrorMessage = clip(string(payload))
	}
	message := f.ErrorMessage
	if len(message) > 600 {
		message = message[:600] + " …"
	}
	said := strings.TrimSpace(cmp.Or(f.ErrorType, "an error") + ": " + message)
	code, ours := codes[f.ErrorType]
	switch {
	case !ours:
		e.add(c.fails(name+" fails with "+said, "the function does not start or was ended: look at its log; "+e.deployOnly(config.AWS)))
	case strings.Contains(f.ErrorMessage, "environment of the Lambda function") || strings.Contains(f.ErrorMessage, "INTER_CLOUD_TOKEN_SECRET: "):
		e.add(c.fails(name+" does not start: "+said, e.deployOnly(config.AWS)))
	case code == hotreader.CodeNotFound && strings.Contains(message, twinmaker.ErrLookBack.Error()): // hot storage answers
		if c = e.empty(c); c.Verdict == Warning {
			c.Says += ", as far as it looked: " + message
		}
		e.add(c)
	case e.in.Topology.L3 == config.AWS: // hot storage is its own cloud's
		door, behind := c, c
		door.Name, behind.Part = "", Store
		if st := e.failed(door, behind, failure{code, said, ""}); st == refusing || st == ill {
			e.report.Checks[len(e.report.Checks)-1].Name = c.Name
		}
	default:
		e.add(e.blame(c, failure{code, said, ""}))
	}
}
