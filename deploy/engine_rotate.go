package deploy

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"hotreader"
	"hotreader/config"
	"hotreader/deploy/topology"
)

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
