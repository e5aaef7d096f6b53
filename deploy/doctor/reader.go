package doctor

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"hotreader"
)

// examineReader examines the readers on Azure and on Google Cloud, which dashboards
// ask by HTTP.
func (e *examination) examineReader(ctx context.Context, linked bool) {
	t := e.in.Topology
	e.in.Asking(componentOf(Reader, t.L4))
	at := e.url(t.L4)
	if at == "" {
		e.add(Check{Part: Reader, Cloud: t.L4, Name: "reached"}.fails("its URL is not known: it is not deployed yet", e.deployOnly(t.L4)))
		return
	}
	latest := e.latest()
	if !e.reached(ctx, Reader, t.L4, at) || !e.closed(ctx, Reader, t.L4, at, latest) || !linked {
		return
	}
	token := e.in.Link.Token.Current()
	if e.api == ill {
		e.add(Check{Part: Reader, Cloud: t.L4, Name: "latest values of " + e.in.Device.ID, Verdict: Skipped,
			Says: "what it asks is broken", Behind: componentOf(API, t.L3)})
		return
	}
	r, err := e.send(ctx, at, latest, token)
	if t.L3 == t.L4 {
		if e.answered(Reader, t.L4, r, err) != sound {
			return
		}
		e.explain(ctx, at, (*examination).latest)
	} else if !e.forwarded(r, err) || e.api == hollow {
		return
	}
	r, err = e.send(ctx, at, e.get("history", "&order=DESCENDING&limit=1"), token)
	c := Check{Part: Reader, Cloud: t.L4, Name: "history of " + e.in.Device.ID, Verdict: OK, Took: r.took}
	if err != nil {
		c = c.fails(e.unreached(err, t.L4))
	} else if !e.speaks(r) {
		c = c.fails(r.describe(), failure{}.log("the function's"))
	}
	e.add(c)
}

// latest is the query of the device, as a dashboard sends it.
func (e *examination) latest() ask { return e.get("latest", "") }

// get asks for the device, with more parameters.
func (e *examination) get(what, more string) ask {
	properties := url.Values{"property": e.in.Device.Properties}.Encode()
	return ask{http.MethodGet, "/v1/devices/" + url.PathEscape(e.in.Device.ID) + "/" + what + "?" + properties + more, "application/json", ""}
}

// forwarded adds what a reader says that asks another cloud's API, and reports
// whether it answers.
func (e *examination) forwarded(r *reply, err error) bool {
	l4 := e.in.Topology.L4
	c := Check{Part: Reader, Cloud: l4, Name: "latest values of " + e.in.Device.ID, Verdict: OK, Took: r.took}
	switch {
	case timedOut(err):
		c = e.silent(c)
	case err != nil:
		c = c.fails(e.unreached(err, l4))
	case r.ok():
		found, err := e.found(r)
		if err != nil {
			c = c.fails(err.Error(), e.otherVersion(l4))
			break
		}
		c = e.judged(c, e.in.Device.Properties, found, e.nothing)
		if e.api == refusing && len(found) > 0 { // it takes the file's token at its own door, so the odd one out is the API
			c.Says += ", from an API that rejects the same token here"
		}
	case r.problem == nil:
		c = c.fails(r.describe(), e.foreign(r, l4))
	case r.problem.Code == hotreader.CodeUnauthenticated:
		c.Name = "takes the token"
		c = c.fails("it rejects the credentials file's token", "")
		if e.api == refusing { // two doors, and neither knows it
			c.Behind = e.blameFile()
		} else {
			c.Remedy = "its secret holds another one than the API's: " + e.deployOnly(l4) + " (after a rotation, wait five minutes first)"
		}
	default:
		f := failure{r.problem.Code, r.describe(), r.problem.TraceID}
		if f.code == hotreader.CodeConfig && e.api == refusing {
			f.code = hotreader.CodeUnauthenticated // which is what a reader calls it at its own door
		}
		c = e.blame(c, f)
	}
	return e.add(c)
}

// silent says that a reader's query got no answer in time. If hot storage is known
// to hang, it is to blame; else the cause is unknown from here.
func (e *examination) silent(c Check) Check {
	l3, what := e.in.Topology.L3, e.store()
	if e.api == storeless {
		c = c.fails(fmt.Sprintf("no answer within %s", e.in.Timeout), "")
		c.Behind = componentOf(Store, l3)
		return c
	}
	if e.in.Topology.L4 != l3 {
		what = "the API on " + string(l3)
	}
	return c.fails(fmt.Sprintf("no answer within %s; from here it is unknown whether the reader hangs or waits for %s", e.in.Timeout, what),
		"look at its log; a longer --timeout shows whether it is slow or stuck")
}

// nothing says that a reader's latest values are empty, which is wrong if hot
// storage's is not.
func (e *examination) nothing(c Check) Check {
	if e.held == 0 {
		return e.empty(c)
	}
	return c.fails("it answers with nothing, while the API has data: it asks another one",
		fmt.Sprintf("its REMOTE_READER_URL must be %s: %s", e.url(e.in.Topology.L3), e.deployOnly(e.in.Topology.L4)))
}

// blameFile makes the credentials file responsible for the token that the API
// rejects.
func (e *examination) blameFile() string {
	if c := &e.report.Checks[e.refused]; e.api == refusing {
		c.Behind = componentOf(Connection, "")
		e.add(Check{Part: Connection, Name: "token"}.fails("it is not the one that the deployed functions have",
			"the file was changed or is an old copy: bring the right one back, or "+e.command("deploy")+" gives both clouds this one"))
	}
	return componentOf(Connection, "")
}

// blame names the component at fault when a reader fails that asks another cloud's API:
// what was seen of the API from here decides.
func (e *examination) blame(c Check, f failure) Check {
	t := e.in.Topology
	c = c.fails(f.said, "")
	switch {
	case f.misfit():
		return e.mistyped(c, f)
	case e.api == hollow && f.code == hotreader.CodeNotFound:
		return e.hollow(c)
	case e.api == ill, e.api == refusing && f.code == hotreader.CodeUnauthenticated:
		c.Behind = componentOf(API, t.L3)
		return c
	case e.api == storeless:
		c.Behind = componentOf(Store, t.L3)
		return c
	}
	log := f.log("its")
	proofs := []hotreader.Code{hotreader.CodeUnauthenticated, hotreader.CodeForbidden, hotreader.CodeConfig, hotreader.CodeStore}
	if e.federated() && (e.misproven != "" || slices.Contains(proofs, f.code)) {
		return e.unproven(c, f)
	}
	switch f.code {
	case hotreader.CodeUnauthenticated:
		return c.fails("the API rejects the reader's token, and accepts the credentials file's: the reader's secret holds another one",
			e.deployOnly(t.L4)+" (after a rotation, wait five minutes first)")
	case hotreader.CodeConfig:
		return c.fails("it is set up wrongly: its REMOTE_READER_URL, or a token that the API rejects while it accepts the credentials file's",
			e.deployOnly(t.L4)+"; "+log)
	case hotreader.CodeNotFound, hotreader.CodeUnavailable, hotreader.CodeOverloaded, hotreader.CodeProtocol, hotreader.CodeDeadline:
		return c.fails("it does not get through to the API, which is well as seen from here: "+f.said,
			fmt.Sprintf("its REMOTE_READER_URL must be %s, and its network must let it out: %s; %s", e.url(t.L3), e.deployOnly(t.L4), log))
	}
	return c.fails(f.said, log)
}
