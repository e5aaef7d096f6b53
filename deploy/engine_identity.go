package deploy

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	tfjson "github.com/hashicorp/terraform-json"

	"hotreader"
	"hotreader/config"
	"hotreader/deploy/names"
	"hotreader/deploy/render"
	"hotreader/deploy/topology"
	"hotreader/identity"
)

// Identity is how the APIs on other clouds know the twin's functions.
type Identity struct {
	Mode     string   `json:"mode"` // token, federated, or changing: the APIs take both
	Issuer   string   `json:"issuer,omitempty"`
	Audience string   `json:"audience,omitempty"`
	Subjects []string `json:"subjects,omitempty"`
}

// signed is what a module says of its functions' identities.
type signed struct {
	Issuer   string            `json:"issuer"`
	Subjects map[string]string `json:"subjects"` // by role
}

// subject is that of a connection.
func (s signed) subject() string {
	var all []string
	for _, role := range slices.Sorted(maps.Keys(s.Subjects)) {
		all = append(all, s.Subjects[role])
	}
	return strings.Join(all, ",")
}

// identityTargets are what a cloud's module has of the functions' identities: all else
// can wait until the APIs know them. A permission takes a while until it is in force, so
// it is made with the role.
var identityTargets = map[config.Cloud][]string{
	config.AWS:   {"module.hotreader.aws_iam_role.function", "module.hotreader.aws_iam_role_policy.identity"},
	config.Azure: {"module.hotreader.azurerm_user_assigned_identity.functions"},
	config.GCP:   {"module.hotreader.google_service_account.functions"},
}

// callers are those that the API of side s takes beside callers with the token: the
// twin's functions, as far as they are known, and those that the project names.
func (w *work) callers(s topology.Side) []identity.Trusted {
	all := []identity.Trusted{}
	if s.Trusts && w.conn.Subject != "" {
		for i, subject := range w.conn.Subjects() {
			role := []config.Role{config.History, config.LastEntry}[min(i, 1)]
			all = append(all, identity.Trusted{Name: names.Function(w.top.Twin, role), Issuer: w.conn.Issuer, Audience: w.conn.Audience, Subject: subject})
		}
	}
	return append(all, w.Project.Callers(s.Cloud)...)
}

// identify makes the identities of the twin's functions where they are not known: a
// subject exists only after its creation, and the APIs are deployed before the functions.
func (w *work) identify(ctx context.Context, sides []topology.Side) error {
	if !w.Project.Federated() {
		return nil
	}
	if w.conn.PageKey.IsZero() {
		w.conn.PageKey = config.NewToken()
	}
	i := slices.IndexFunc(sides, func(s topology.Side) bool { return s.Signs })
	switch {
	case i >= 0:
		return w.makeIdentity(ctx, sides[i])
	case w.conn.Subject == "" && sides[0].Trusts:
		return configError(w.command, "the API on %s has to know its caller, and %s has no issuer, audience and subject; "+
			"make the identity on the twin's cloud first (%s --only %s), or put them there if another team has made it", sides[0].Cloud, w.top.Connection, w.again("deploy"), w.top.L4)
	}
	return nil
}

// makeIdentity makes the identities on the twin's side s, unless they are known, and
// writes them down.
func (w *work) makeIdentity(ctx context.Context, s topology.Side) error {
	issuer, err := w.issuer(ctx, s)
	if err != nil {
		return err
	}
	f, _, err := w.render(ctx, s, true)
	if err != nil {
		return err
	}
	begun, err := f.begun()
	if err != nil {
		return err
	}
	st, err := f.state(ctx)
	if err != nil {
		return err
	}
	// What a later step has begun is for that step to import.
	if w.conn.Subject != "" && (len(begun) > 0 || w.isKnown(st.outputs.Identity, issuer)) {
		return nil
	}
	if _, _, err := w.adopt(ctx, f); err != nil {
		return err
	}
	plan, err := f.plan(ctx, nil, identityTargets[s.Cloud]...)
	if err != nil {
		return err
	}
	w.conn.Provider = w.top.API
	if len(plan.ResourceChanges) > 0 || len(plan.OutputChanges) > 0 {
		if err := w.approve(ctx, f, identityPlan(s, plan)); err != nil {
			return err
		}
		if err := f.apply(ctx); err != nil {
			return err
		}
	}
	if st, err = f.state(ctx); err != nil {
		return err
	}
	first := w.conn.Subject == ""
	w.conn.Issuer, w.conn.Audience, w.conn.Subject = cmp.Or(issuer, st.outputs.Identity.Issuer), w.Project.Audience(), st.outputs.Identity.subject()
	if w.conn.Issuer == "" || w.conn.Subject == "" {
		return configError(w.command, "what was made on %s does not have the functions' identity", s.Cloud)
	}
	if err := w.save(); err != nil || !first || len(w.sides) == len(w.top.Sides) {
		return err
	}
	return configError(w.command, "the identity of the twin's functions is made, and the API on %s has to accept it before they use it: deploy that cloud first (%s --only %s), "+
		"or hand the entry %s of config_inter_cloud.json to the team that does; then run the same command again", w.top.API, w.again("deploy"), w.top.API, w.top.Connection)
}

// identityPlan is the plan of the identities alone.
func identityPlan(s topology.Side, plan *tfjson.Plan) SidePlan {
	p := sidePlan(s, plan)
	p.Public, p.Notes = []string{}, append(p.Notes, "the identity of the twin's functions comes first: the API has to know it")
	return p
}

// isKnown reports whether the connection has what a module says.
func (w *work) isKnown(s signed, issuer string) bool {
	return w.conn.Subject == s.subject() && w.conn.Audience == w.Project.Audience() && w.conn.Issuer == cmp.Or(issuer, s.Issuer)
}

// issuer is that of the twin's cloud, "" where its module says it.
func (w *work) issuer(ctx context.Context, s topology.Side) (string, error) {
	if s.Cloud != config.AWS {
		return "", nil
	}
	lookup, err := newAWSLookup(ctx, w.Project.Options.AWS.Region)
	if err != nil {
		return "", configError(w.command, "%w", err)
	}
	issuer, err := lookup.issuer(ctx)
	if err != nil && w.conn.Issuer != "" && !isDisabled(err) { // as without permission to ask
		return w.conn.Issuer, nil
	}
	return issuer, err
}

// trust is what the API of side s is to trust; unknown is where that is not known yet.
func (w *work) trust(s topology.Side, unknown string) string {
	all := w.callers(s)
	text, _ := json.Marshal(all) // texts and numbers: cannot fail
	switch {
	case s.Trusts && w.conn.Subject == "" && unknown == render.AskURL:
		return render.AskTrust(string(text))
	case !s.Trusts && len(all) == 0:
		return ""
	}
	return string(text)
}

// distinct checks that the functions of s will tell their callers apart.
func (w *work) distinct(s topology.Side) error {
	if len(w.callers(s)) == 0 {
		return nil
	}
	_, err := config.ReadTrust(w.trust(s, ""), func(string) string { return "" })
	return err
}

// callerNames are the names in HOTREADER_TRUST.
func callerNames(trust string) (all []string) {
	callers, _ := config.ReadTrust(trust, func(string) string { return "" }) // as deployed
	for _, c := range callers {
		all = append(all, c.Name)
	}
	return all
}

// hasPageKey reports whether the functions of s sign page tokens with a key of its own.
// It stays when a twin goes back to the shared token, for what it has signed.
func (w *work) hasPageKey(s topology.Side) bool {
	return s.Signs || s.Trusts || s.Token && !w.conn.PageKey.IsZero()
}

// changing reports whether what is deployed proves itself otherwise than the project says.
func (w *work) changing(ctx context.Context) (bool, error) {
	if !w.Project.Federated() {
		return w.conn.Subject != "", nil
	}
	for _, s := range w.top.Sides {
		if s.Token {
			continue
		}
		st, f, err := w.sideStatus(ctx, s)
		if err != nil {
			return false, err
		}
		if !st.Deployed {
			continue
		}
		all, err := f.state(ctx)
		if err != nil || slices.ContainsFunc(all.resources, managed.holdsToken) {
			return err == nil, err
		}
	}
	return false, nil
}

// between are the sides of w as they are while the twin changes over, if it does.
func (w *work) between(ctx context.Context) (sides []topology.Side, changing bool, err error) {
	if changing, err = w.changing(ctx); err != nil || !changing {
		return w.sides, false, err
	}
	top, err := topology.Between(w.Project)
	if err != nil {
		return nil, false, err
	}
	for _, s := range w.sides {
		sides = append(sides, top.Side(s.Cloud))
	}
	return sides, true, nil
}

// changeOver brings a twin from the shared token to federation, or back, and no request
// fails meanwhile: the APIs take both before the twin's functions send the other one,
// and reject the former one only when no caller sends it any more. It reports whether
// that may be done now. The next run ends a run that was stopped anywhere.
func (w *work) changeOver(ctx context.Context) (end bool, err error) {
	sides, changing, err := w.between(ctx)
	if err != nil || !changing {
		return true, err
	}
	if err := w.deploy(ctx, sides); err != nil {
		return false, err
	}
	if len(w.sides) < len(w.top.Sides) {
		w.Report(Event{Kind: Note, Cloud: w.sides[0].Cloud, Text: "both the token and what " + string(w.top.L4) + " signs are accepted now; when both clouds are deployed so, a deploy of both, or one with --finish, removes the other one"})
		return w.Finish, nil
	}
	if err := w.check(ctx); err != nil {
		return false, err
	}
	return true, w.drain(ctx)
}

// forgetIdentity takes what the twin's cloud signs from the connection, once the shared
// token is sent again.
func (w *work) forgetIdentity() error {
	if w.Project.Federated() || w.conn.Subject == "" {
		return nil
	}
	w.conn.Issuer, w.conn.Audience, w.conn.Subject = "", "", ""
	return w.save()
}

// identity is what is known of the functions' identities; nil = the shared token alone is.
func (w *work) identity(ctx context.Context) (*Identity, error) {
	changing, err := w.changing(ctx)
	if err != nil || !changing && !w.Project.Federated() {
		return nil, err
	}
	id := &Identity{Mode: "federated", Issuer: w.conn.Issuer, Audience: w.conn.Audience}
	if changing {
		id.Mode = "changing"
	}
	if w.conn.Subject != "" {
		id.Subjects = w.conn.Subjects()
	}
	return id, nil
}

// identityNotes name the identity of the functions of s, or the callers that its API accepts.
func (w *work) identityNotes(s topology.Side) []string {
	who := fmt.Sprintf("issuer %s, audience %s, subject %s", w.conn.Issuer, w.conn.Audience, w.conn.Subject)
	if w.conn.Subject == "" {
		who = "audience " + w.Project.Audience() + "; issuer and subject are known once its identity is deployed"
	}
	var notes []string
	switch {
	case s.Signs:
		notes = []string{"identity: " + string(w.top.L4) + " signs tokens for the functions: " + who}
	case s.Trusts:
		notes = []string{"identity: the API takes tokens that " + string(w.top.L4) + " signs: " + who}
	}
	if all := callerNames(w.trust(s, "")); len(w.Project.Callers(s.Cloud)) > 0 {
		notes = append(notes, "callers: beside callers with the token, the API takes "+strings.Join(all, ", "))
	}
	return notes
}

// changes is changing, for a switch; what cannot be read is found by the next step.
func (w *work) changes(ctx context.Context) bool {
	changing, err := w.changing(ctx)
	return err == nil && changing
}

// defaultDrain is the longest that a request lives which was sent with the old
// token: the time-out of the functions.
const defaultDrain = 30 * time.Second

// Rotate gives the connection id a new token, and no request fails meanwhile:
// hot storage's side takes both tokens before the twin's side sends the new one,
// and rejects the old one only when no caller sends it any more.
//
//	credentials file       hot storage's side takes   the twin's side sends
//	new, previous: old    old          -> new,old    old
//	                      new,old                    old -> new
//	(the link is proven, requests under way end)
//	new                   new,old      -> new        new
//
// The credentials file alone says how far a rotation has come, and a side's
// secret is always made from it; so the next run ends one that was stopped or killed
// anywhere, with the same new token.
//
// The last step is taken only if both sides are this run's. With Only, and if
// the callers are no functions of ours, the run ends before it; another run with
// finish takes it.
func (e *Engine) Rotate(ctx context.Context, id string, finish bool) error {
	const op = "token rotate"
	w, end, err := e.begin(op)
	if err != nil {
		return err
	}
	defer end()
	switch {
	case w.top.Connection == "":
		return configError(op, "this project has no token: the twin and its hot storage are both on %s, and nothing is reachable from outside", w.top.L3)
	case id != w.top.Connection:
		return &hotreader.Error{Op: op, Code: hotreader.CodeInvalid, Err: fmt.Errorf("this project has no connection %q; it has %s", id, w.top.Connection)}
	case w.conn.Token.IsZero() || w.conn.URL == "":
		return configError(op, "nothing is deployed under %s yet; run: %s", id, w.again("deploy"))
	case w.sides[0].Cloud != w.top.Sides[0].Cloud:
		return configError(op, "a rotation begins where hot storage is: run it with --only %s; then, with the new entry in config_inter_cloud.json, %s --only %s", w.top.Sides[0].Cloud, w.again("deploy"), w.sides[0].Cloud)
	case len(w.top.Sides) > 2 && len(w.sides) == 1:
		return configError(op, "two clouds hold this project's history, and both must take the new token before the twin sends it; leave out --only")
	case w.changes(ctx):
		return configError(op, "the twin changes over from the token to federation, or back; end that first: %s", w.again("deploy"))
	case finish && w.conn.PreviousToken.IsZero():
		return configError(op, "no rotation of %s is under way", id)
	}
	server := slices.DeleteFunc(slices.Clone(w.sides), func(s topology.Side) bool { return !s.Asked() && !s.Signs })
	if finish {
		return w.forget(ctx, server)
	}
	if w.conn.PreviousToken.IsZero() {
		w.conn.PreviousToken, w.conn.Token, w.conn.RotatedAt = w.conn.Token, config.NewToken(), w.now()
		if err := w.save(); err != nil {
			return err
		}
	}
	if err := w.deploy(ctx, w.sides); err != nil {
		return err
	}
	if len(w.sides) < 2 || w.Project.Federated() { // other programs send it
		flags := "--finish "
		if len(w.sides) < len(w.top.Sides) {
			flags += "--only " + string(w.sides[0].Cloud) + " "
		}
		w.Report(Event{Kind: Note, Cloud: w.sides[0].Cloud, Text: "both tokens are accepted now. When all callers have the new one from config_inter_cloud.json, end the rotation with: " + w.again("token rotate") + " " + flags + id})
		return nil
	}
	if err := w.check(ctx); err != nil {
		return err
	}
	if err := w.drain(ctx); err != nil {
		return err
	}
	return w.forget(ctx, server)
}

// forget lets go of the previous token.
func (w *work) forget(ctx context.Context, server []topology.Side) error {
	w.conn.PreviousToken = config.Secret{}
	if err := w.save(); err != nil {
		return err
	}
	if err := w.deploy(ctx, server); err != nil {
		return err
	}
	return w.check(ctx)
}

// check proves the link, if there is a Check, and if both of its sides are this
// run's: half a link proves nothing.
func (w *work) check(ctx context.Context) error {
	if len(w.sides) != len(w.top.Sides) {
		return nil
	}
	return w.Check(ctx)
}

// drain waits until the requests under way that were sent with the old token
// have ended.
func (w *work) drain(ctx context.Context) error {
	d := cmp.Or(w.Drain, defaultDrain)
	if d < 0 {
		return nil
	}
	w.Report(Event{Kind: Note, Cloud: w.top.L4, Text: fmt.Sprintf("waiting %v until the last request with the old token has ended", d)})
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return &hotreader.Error{Op: "token rotate", Code: hotreader.CodeOf(ctx.Err()), Err: fmt.Errorf("stopped; both tokens are accepted, and the next token rotate ends what was begun")}
	}
}
