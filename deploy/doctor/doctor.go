// Package doctor proves a deployed link by using it: it sends real queries
// through each component, from the credentials file over the Hot Reader API and hot
// storage to the twin's reader, and says which component is broken, what is
// wrong with it and what to do. It changes nothing, and prints no token.
package doctor

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"hotreader"
	"hotreader/config"
	"hotreader/deploy/topology"
	"hotreader/identity"
	"hotreader/internal/nearest"
	"hotreader/internal/shell"
)

// Input is what is to be examined.
type Input struct {
	Topology topology.Topology
	Device   Device
	Shared   Device // of a component type that devices share; without one, none is asked about
	Project  string // the project folder, as remedies name it

	// Link is what the credentials file says under Topology.Connection; nil if it
	// says nothing, or if there is no such connection in the topology.
	Link *Link

	// Deployed is what each cloud's deployment says of itself. A cloud that is
	// not in it is examined as far as the names and the credentials file say
	// where it is.
	Deployed map[config.Cloud]Deployed

	Timeout time.Duration          // of one request; 0 = 30 s
	Now     func() time.Time       // nil = time.Now
	Client  *http.Client           // nil = one of its own; redirects are never followed
	Asking  func(component string) // called before each component, for a progress line; may be nil

	// Issuer asks AWS for the issuer of the account's tokens; nil = it is not asked.
	Issuer func(context.Context) (string, error)

	// Target is what was asked to deploy, as remedies repeat it: " --target local",
	// or "".
	Target string
}

// Device is the device of the queries.
type Device struct {
	ID         string
	Properties []string         // at least one
	Types      []hotreader.Type // of Properties, one by one
	Type       string           // the component type that it shares; "" = one of its own
	Alarm      string           // the property that is its alarm status; "" = none is
	Days       int              // how far back a history is asked for; 0 = without end
}

// DeviceOf returns a configured device as the doctor asks about it. Of partitions by date,
// each of which is a read, no more are asked for than hot storage keeps.
func DeviceOf(p *config.Project, d config.Device) Device {
	asked := Device{ID: d.ID, Type: d.Type, Alarm: d.Alarm()}
	if p.Options.Layout.Dated() {
		asked.Days = cmp.Or(p.Days, 30)
	}
	for _, p := range d.Properties {
		t, _ := hotreader.ParseType(p.Type) // one that is not known is inferred
		asked.Properties, asked.Types = append(asked.Properties, p.Name), append(asked.Types, t)
	}
	return asked
}

// Shared returns a device of a component type that devices share, of one with an alarm
// if there is one. Its Type is "" if there is none.
func Shared(p *config.Project) Device {
	var found *config.Device
	for i := range p.Devices {
		d := &p.Devices[i]
		if d.Type != "" && len(d.Properties) > 0 && (found == nil || found.Alarm() == "" && d.Alarm() != "") {
			found = d
		}
	}
	if found == nil {
		return Device{}
	}
	return DeviceOf(p, *found)
}

// Link is a connection of the credentials file.
type Link struct {
	Provider  config.Cloud
	URL       string
	Token     *identity.Token // nil: it holds none that can be used
	Previous  *identity.Token // nil: no rotation is under way
	RotatedAt time.Time       // zero: not said

	Issuer, Audience, Subject string // of what the twin's cloud signs; "" = not said
}

// LinkOf returns what a credentials file says of a connection, nil if it does not
// have it.
func LinkOf(all *config.Connections, id string) *Link {
	c, ok := all.Get(id)
	if !ok {
		return nil
	}
	l := &Link{Provider: c.Provider, URL: c.URL, RotatedAt: c.RotatedAt, Issuer: c.Issuer, Audience: c.Audience, Subject: c.Subject}
	l.Token, _ = identity.Static(c.Token.Reveal()) // what cannot be used is as good as none
	if !c.PreviousToken.IsZero() {
		l.Previous, _ = identity.Static(c.PreviousToken.Reveal())
	}
	return l
}

// Deployed is one cloud's deployment.
type Deployed struct {
	URL    string // of what is public: the API, or the readers; "" on AWS where only the twin is
	Region string // AWS; "" = as the environment says
	Store  string // what hot storage is, in words, as "table factory-hot-iot-data"

	Subject string // of the functions, as in the credentials file; "" = not said
	Trust   string // HOTREADER_TRUST of the API; "" = not said

	// Functions are the Lambda functions' names or ARNs; a role that is missing
	// has the topology's name.
	Functions map[config.Role]string

	// LambdaURL is where functions are invoked; "" = AWS, or what
	// AWS_ENDPOINT_URL_LAMBDA says.
	LambdaURL string
}

// Verdict is how a check ended.
type Verdict string

// The verdicts. Only Failed makes a link unwell.
const (
	OK      Verdict = "ok"
	Warning Verdict = "warning" // it works, but look at it
	Failed  Verdict = "failed"
	Skipped Verdict = "skipped" // a component before it is broken
)

// Part is a kind of component.
type Part string

// The parts, in the order in which they are examined.
const (
	Connection Part = "credentials file"
	API        Part = "API"
	Identity   Part = "identity"
	Store      Part = "hot storage"
	Reader     Part = "reader"
	Devices    Part = "config_iot_devices.json"
)

// Check is one thing that was looked at.
type Check struct {
	Part    Part          `json:"part"`
	Cloud   config.Cloud  `json:"cloud,omitempty"`
	Name    string        `json:"check"`
	Verdict Verdict       `json:"verdict"`
	Took    time.Duration `json:"-"`
	Millis  float64       `json:"ms"`
	Says    string        `json:"says,omitempty"`   // what was found; what is wrong
	Remedy  string        `json:"remedy,omitempty"` // what to do
	Behind  string        `json:"behind,omitempty"` // the component to blame, where it is another one
}

// Component names where the check was made, as "API on aws".
func (c *Check) Component() string { return componentOf(c.Part, c.Cloud) }

func componentOf(p Part, c config.Cloud) string {
	if c == "" {
		return string(p)
	}
	return string(p) + " on " + string(c)
}

// Report is what was found.
type Report struct {
	OK     bool         `json:"ok"` // nothing failed
	Twin   string       `json:"twin"`
	L3     config.Cloud `json:"l3"`
	L4     config.Cloud `json:"l4"`
	Device string       `json:"device"`
	Broken []string     `json:"broken"` // the components at fault, as "API on aws"; [] = none
	Checks []Check      `json:"checks"`
}

// standing is how the API is doing, as seen from here.
type standing int

const (
	unasked   standing = iota // there is none, or its address is unknown
	sound                     // it answers with what hot storage holds
	hollow                    // it is well, and there may be no more to hot storage than that it is empty
	ill                       // it is not reached, or what answers is not it
	refusing                  // it does not know the credentials file's token
	storeless                 // it is well, its hot storage is not
)

// examination is one Run.
type examination struct {
	in     Input
	http   http.Client
	report Report

	api     standing
	refused int      // the check which says that the API rejects the token
	held    int      // values that hot storage answered with, directly
	warned  bool     // that there is no data
	lacking []string // properties without values, of which a check warns
	misfits []string // values that are not of their type, as the last answer says
	unfit   bool     // a check warns of those
	instead string   // what hot storage has instead of the device's properties, as the API says; "" = it says nothing

	apiBehind time.Duration // how much the API's clock is slow against this machine's
	apiDated  bool          // that is known
	misproven string        // the component that keeps the functions from proving themselves; "" = none
}

// Run examines the link, component by component. It ends early if ctx does; what it has
// not come to is missing then, and the report is not OK.
func Run(ctx context.Context, in Input) Report {
	if in.Now == nil {
		in.Now = time.Now
	}
	in.Timeout = cmp.Or(in.Timeout, 30*time.Second)
	if in.Asking == nil {
		in.Asking = func(string) {}
	}
	t := in.Topology
	e := &examination{in: in, http: client(in.Client),
		report: Report{Twin: t.Twin, L3: t.L3, L4: t.L4, Device: in.Device.ID, Broken: []string{}, Checks: []Check{}}}
	linked := true
	if t.Connection != "" {
		linked = e.connection()
	}
	if t.L3 != t.L4 {
		e.examineAPI(ctx, linked)
	}
	e.examineIdentity(ctx)
	e.examineTiers(ctx, linked)
	if t.L4 == config.AWS {
		e.examineFunctions(ctx)
	} else {
		e.examineReader(ctx, linked)
	}
	e.report.OK = ctx.Err() == nil
	for i := range e.report.Checks {
		c := &e.report.Checks[i]
		c.Millis = float64(c.Took.Microseconds()) / 1000
		c.Says, c.Remedy = e.hide(c.Says), e.hide(c.Remedy)
		if c.Verdict != Failed {
			continue
		}
		e.report.OK = false
		if at := c.Component(); c.Behind == "" && !slices.Contains(e.report.Broken, at) {
			e.report.Broken = append(e.report.Broken, at)
		}
	}
	return e.report
}

// add adds a check, and reports whether it has not failed.
func (e *examination) add(c Check) bool {
	e.report.Checks = append(e.report.Checks, c)
	return c.Verdict != Failed
}

func (c Check) fails(says, remedy string) Check {
	c.Verdict, c.Says, c.Remedy = Failed, says, remedy
	return c
}

func (c Check) warns(says, remedy string) Check {
	c.Verdict, c.Says, c.Remedy = Warning, says, remedy
	return c
}

// hide takes the tokens out of a text that may repeat what a server said.
func (e *examination) hide(text string) string {
	if e.in.Link == nil {
		return text
	}
	for _, t := range []*identity.Token{e.in.Link.Token, e.in.Link.Previous} {
		if t != nil && t.Current() != "" {
			text = strings.ReplaceAll(text, t.Current(), "[token]")
		}
	}
	return text
}

// command is a command line for a remedy.
func (e *examination) command(format string, args ...any) string {
	return "hotreader " + fmt.Sprintf(format, args...) + " --project " + shell.Word(cmp.Or(e.in.Project, ".")) + e.in.Target
}

// deployOnly is the command that deploys one cloud as it should be.
func (e *examination) deployOnly(c config.Cloud) string {
	if e.in.Target != "" { // there is one deployment there
		return e.command("deploy")
	}
	return e.command("deploy --only %s", c)
}

// oldToken is the age from which a token should be rotated.
const oldToken = 180 * 24 * time.Hour

// connection examines the credentials file, and reports whether it holds a token
// to go on with.
func (e *examination) connection() bool {
	l, id, l3 := e.in.Link, e.in.Topology.Connection, e.in.Topology.API
	c := Check{Part: Connection, Name: "written", Verdict: OK, Says: id}
	switch {
	case l == nil:
		return e.add(c.fails("it has no connection "+id, e.deployOnly(l3)+" makes it"))
	case l.Provider != l3:
		c = c.fails(fmt.Sprintf("%s says that hot storage is on %s, but config_providers.json says %s", id, l.Provider, l3), e.deployOnly(l3))
	case l.Token == nil && !e.federated():
		c = c.fails(id+" holds no token that can be used", e.deployOnly(l3))
	}
	e.add(c)
	e.add(e.connectionURL(l))
	if l.Token != nil {
		e.add(e.tokenAge(l))
	}
	return l.Token != nil
}

// connectionURL compares the file's URL with what was deployed.
func (e *examination) connectionURL(l *Link) Check {
	l3 := e.in.Topology.API
	deployed := e.in.Deployed[l3].URL
	c := Check{Part: Connection, Name: "URL", Verdict: OK, Says: l.URL}
	switch {
	case l.URL == "":
		return c.fails("it has no URL", e.deployOnly(l3))
	case deployed != "" && base(l.URL) != base(deployed):
		return c.fails(fmt.Sprintf("it says %s, but what was deployed is at %s", l.URL, deployed),
			e.deployOnly(l3)+", then the twin's cloud, which has the URL in its environment")
	}
	return c
}

func (e *examination) tokenAge(l *Link) Check {
	c := Check{Part: Connection, Name: "token's age", Verdict: OK}
	rotate := "hotreader token rotate " + shell.Word(e.in.Topology.Connection) + " --project " + shell.Word(cmp.Or(e.in.Project, "."))
	if e.in.Target != "" {
		rotate = e.command("deploy") + " makes a new one"
	}
	age := e.in.Now().Sub(l.RotatedAt)
	days := fmt.Sprintf("%d days", int(age.Hours()/24))
	switch {
	case l.Previous != nil:
		return c.warns("a rotation has not ended: the previous token is valid, too", e.endRotation(rotate))
	case l.RotatedAt.IsZero():
		c.Says = "not said"
	case age > oldToken:
		return c.warns(days, rotate)
	case age < -5*time.Minute:
		return c.warns("it was made in the future", "set this machine's clock")
	case age < 48*time.Hour:
		c.Says = age.Round(time.Minute).String()
	default:
		c.Says = days
	}
	return c
}

// endRotation says how the rotation ends that rotate has begun. A team that owns
// one cloud alone cannot just run it again.
func (e *examination) endRotation(rotate string) string {
	l3, l4 := e.in.Topology.L3, e.in.Topology.L4
	_, ours3 := e.in.Deployed[l3]
	_, ours4 := e.in.Deployed[l4]
	switch {
	case l3 == l4 || e.in.Target != "" || ours3 == ours4:
		return rotate + " ends it"
	case ours3:
		return "hand the new entry over, and once the twin's team has deployed with it: " + rotate + " --finish --only " + string(l3)
	}
	return e.deployOnly(l4) + " makes the twin's cloud send the new one; then hot storage's team ends the rotation with token rotate --finish"
}

// base is the URL of an API without its read route.
func base(text string) string {
	return strings.TrimRight(strings.TrimSuffix(strings.TrimRight(text, "/"), "/read"), "/")
}

// url is a cloud's HTTP address, "" if unknown.
func (e *examination) url(c config.Cloud) string {
	if d := e.in.Deployed[c]; d.URL != "" {
		return base(d.URL)
	}
	if e.in.Link != nil && c == e.in.Topology.API {
		return base(e.in.Link.URL)
	}
	return ""
}

// store names hot storage.
func (e *examination) store() string {
	return cmp.Or(e.in.Deployed[e.in.Topology.L3].Store, "hot storage")
}

// query is for the latest values of the device.
func (e *examination) query() hotreader.Query {
	return hotreader.Query{Device: e.in.Device.ID, Properties: e.in.Device.Properties, Types: e.in.Device.Types, Last: true}
}

// judged says of how many of the properties that were asked for an answer has values. Of
// others it warns once: the device may not send them, or the layout not lead to them.
func (e *examination) judged(c Check, asked, found []string, empty func(Check) Check) Check {
	if len(found) == 0 {
		return empty(c)
	}
	lacks := slices.DeleteFunc(slices.Clone(asked), func(name string) bool { return slices.Contains(found, name) })
	c.Says = fmt.Sprintf("%d of %d properties", len(asked)-len(lacks), len(asked))
	if len(lacks) > 0 {
		c.Says += fmt.Sprintf("; none of: %.300s", nearest.Listed(lacks...))
	}
	if len(e.misfits) > 0 && !e.unfit {
		e.unfit, e.lacking = true, append(e.lacking, lacks...)
		return c.warns(fmt.Sprintf("%s; %.1000s", c.Says, strings.Join(e.misfits, "; ")), e.declare()+". Until then an older value may pass for the latest one")
	}
	if !slices.ContainsFunc(lacks, func(name string) bool { return !slices.Contains(e.lacking, name) }) {
		return c
	}
	e.lacking = append(e.lacking, lacks...)
	return c.warns(c.Says, "right if the device does not send them; else look at its newest items, and at the layout's properties: "+hotreader.InspectHelp)
}

// misfit reports whether values of wrong types are why.
func (f failure) misfit() bool {
	return strings.Contains(f.said, hotreader.Warning{Reason: hotreader.WrongType}.String())
}

// mistyped makes the declared types responsible.
func (e *examination) mistyped(c Check, f failure) Check {
	c.Part, c.Cloud = Devices, ""
	return c.fails(f.said, e.declare())
}

func (e *examination) declare() string {
	return "declare in config_iot_devices.json the types that are stored, and no texts that are too long; then " + e.command("deploy")
}

// empty says that a device has no data, once as a warning.
func (e *examination) empty(c Check) Check {
	if e.warned || e.held > 0 {
		c.Says = "no value"
		return c
	}
	e.warned = true
	if e.instead != "" {
		return c.fails(fmt.Sprintf("%s has items of %s, but none of its properties: %s", e.store(), e.in.Device.ID, e.instead), hotreader.LayoutHelp)
	}
	remedy := "right if the device has not reported yet; else look at what writes to it; " + hotreader.InspectHelp
	if e.in.Target != "" {
		remedy = "right if nothing was imported yet: deploy prints the command that fills it"
	}
	return c.warns(fmt.Sprintf("it answers, but %s holds nothing of %s", e.store(), e.in.Device.ID), remedy)
}
