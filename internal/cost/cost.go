package cost

import (
	"cmp"
	"math"
	"slices"
)

// The clouds.
const (
	AWS   = "aws"
	Azure = "azure"
	GCP   = "gcp"
)

// Clouds lists them.
func Clouds() []string { return []string{AWS, Azure, GCP} }

// A Route is the path of a query: the cloud that asks, and the cloud of its rows.
type Route struct {
	Twin string `json:"twin"` // L4
	Hot  string `json:"hot"`  // L3
}

// Routes are all nine.
func Routes() (all []Route) {
	for _, twin := range Clouds() {
		for _, hot := range Clouds() {
			all = append(all, Route{twin, hot})
		}
	}
	return all
}

// Way is the mode: "local" or "remote".
func (r Route) Way() string {
	if r.Twin == r.Hot {
		return "local"
	}
	return "remote"
}

// A Query is what is asked a million times.
type Query struct {
	Name       string `json:"name"`
	Rows       int    `json:"rows"`       // in its range
	Properties int    `json:"properties"` // selected, and in each row
	Last       bool   `json:"last"`       // the newest values instead

	Points int `json:"points,omitempty"` // rows of the answer, picked where they lie; 0 = all
}

// Mix are the queries that the documents speak of.
func Mix() []Query {
	return []Query{
		{Name: "latest values", Properties: 4, Last: true},
		{Name: "3,600 rows", Rows: 3600, Properties: 4},
		{Name: "100,000 rows", Rows: 100_000, Properties: 4},
	}
}

// An Item is one line of a bill: what a million queries need of it.
type Item struct {
	What     string  `json:"what"`
	Cloud    string  `json:"cloud"`
	Quantity float64 `json:"quantity"` // in Unit, for a million queries
	Unit     string  `json:"unit"`
	USD      float64 `json:"usd"`
}

// A Bill is what a million queries cost on a route.
type Bill struct {
	Route
	Query   Query   `json:"query"`
	Answers int     `json:"answers"` // pages that one query needs
	Read    float64 `json:"read"`    // rows that the store brings for one query
	Items   []Item  `json:"items"`
	USD     float64 `json:"usd"`
}

const million = 1e6

// What an answer holds at the most, in bytes: TwinMaker's on Lambda, and that of
// the API's GET routes. The second is of plain JSON, some 40 bytes a row and 20
// a point.
const (
	twinMakerAnswer = 5.5e6
	plainAnswer     = 8 << 20
	plainRow        = 40
	plainPoint      = 20
)

// parts are the pages that are read ahead at once.
const parts = 8

// bill is a Bill in the making.
type bill struct {
	Bill
	f Figures
}

func (b *bill) v(name string) float64 { return b.f[name].Value }

func (b *bill) add(what, cloud string, each float64, unit string, usd float64) {
	if each == 0 || usd == 0 {
		return
	}
	b.Items = append(b.Items, Item{what, cloud, each * million, unit, each * million * usd})
	b.USD += each * million * usd
}

// Of returns what a million of q cost on r. Each request is estimated as if it
// were alone: instances that serve several at once, free tiers and discounts
// make it less. What is stored, written, cold or wrong is not in it, and nor is
// TwinMaker itself.
func (f Figures) Of(r Route, q Query) Bill {
	b := &bill{Bill: Bill{Route: r, Query: q, Answers: 1}, f: f}
	rows := float64(q.Rows)
	switch {
	case q.Points > 0: // one answer of few rows, for which all are read
		b.Read, rows = rows, min(rows, float64(q.Points))
	case !q.Last:
		b.history(rows)
	case r.Hot == GCP:
		b.Read = b.v("firestore_last_rows")
	default:
		b.Read = b.v("last_rows")
	}
	answers, sent := float64(b.Answers), b.Read
	switch {
	case q.Last: // the newest of each are in one row, as a rule
		rows, sent = 1, 1
	case q.Points > 0:
		sent = rows
	}

	pages := b.store()
	reading := b.v("request_ms") + b.waits(pages/answers)*b.v("store_page_ms")
	if r.Twin == r.Hot {
		b.function(r.Twin, "reader", answers, reading, b.Read/answers)
	} else {
		b.function(r.Hot, "API", answers, reading, b.Read/answers)
		if r.Hot == AWS {
			b.add("API Gateway", AWS, answers, "requests", b.v("apigateway_million")/million)
			b.log(AWS, answers*b.v("gateway_log_bytes"))
		}
		// The twin's function waits for all that the API does.
		b.function(r.Twin, "reader", answers, b.v("request_ms")+b.v("between_clouds_ms")+reading+b.cpu(r.Hot, b.Read/answers), rows/answers)
		b.egress(r.Hot, answers*b.v("request_bytes")+sent*float64(q.Properties)*b.v("point_wire_bytes"))
		b.egress(r.Twin, answers*b.v("request_bytes"))
	}
	traces := 0.0
	if r.Twin == AWS || r.Hot == AWS {
		traces = answers * b.v("traced")
	}
	b.add("X-Ray", AWS, traces, "traces", b.v("xray_million")/million)
	b.merge()
	return b.Bill
}

// history says how many answers a history takes, and how many rows the store
// brings for them.
//
// Where an answer is full, the next one begins after it; what was read of the
// rest is read again. Over another cloud that is all of it, for a row stream is
// so small that all of it is under way; beside the store it is what was read
// ahead.
func (b *bill) history(rows float64) {
	size, most := rows*float64(b.Query.Properties)*b.v("point_json_bytes"), twinMakerAnswer
	if b.Twin != AWS {
		size, most = rows*(plainRow+plainPoint*float64(b.Query.Properties)), plainAnswer
	}
	b.Answers = max(1, int(math.Ceil(size/most)))
	full := rows * most / size // rows of a full answer
	for n := range b.Answers {
		rest := rows - float64(n)*full
		switch {
		case b.Twin != b.Hot, n == b.Answers-1:
			b.Read += rest
		case b.Twin == AWS: // whose request says how much an answer holds
			b.Read += min(rest, full+b.pageRows())
		default:
			b.Read += min(rest, full+parts*b.pageRows())
		}
	}
}

// item returns the bytes of a stored row.
func (b *bill) item() float64 {
	return b.v("item_bytes") + float64(b.Query.Properties)*b.v("item_property_bytes")
}

// pageRows returns the rows of a page of the store.
func (b *bill) pageRows() float64 {
	switch b.Hot {
	case AWS:
		return math.Max(1, math.Floor((1<<20)/b.item()))
	case Azure:
		return math.Max(1, math.Floor((4<<20)/b.item()))
	}
	return 10_000
}

// store adds what the store bills, and returns how many pages it brings.
func (b *bill) store() (pages float64) {
	pages = math.Max(float64(b.Answers), math.Ceil(b.Read/b.pageRows()))
	switch b.Hot {
	case AWS: // eventually consistent: half a unit for each 4 KB
		b.add("DynamoDB", AWS, 0.5*math.Ceil(b.Read*b.item()/4096), "read request units", b.v("dynamodb_read_million")/million)
	case Azure:
		b.add("Cosmos DB", Azure, pages*b.v("cosmos_page_ru")+b.Read*b.v("cosmos_row_ru"), "request units", b.v("cosmos_ru_million")/million)
	case GCP:
		b.add("Firestore", GCP, b.Read, "document reads", b.v("firestore_read_million")/million)
	}
	return pages
}

// waits returns for how many pages one after the other a read waits: the first,
// and then several at once.
func (b *bill) waits(pages float64) float64 {
	return 1 + math.Ceil(math.Max(0, pages-1)/parts)
}

// cpu returns the milliseconds of work that rows are, in a function of cloud.
func (b *bill) cpu(cloud string, rows float64) float64 {
	share := 1.0
	if cloud == AWS { // a whole processor comes with 1,769 MB
		share = math.Min(1, b.v("aws_memory_mb")/1769)
	}
	return rows * b.v("row_cpu_us") / 1000 / share
}

// function adds what a cloud bills for requests that each wait so long and have
// so many rows to work on, and their logs.
func (b *bill) function(cloud, what string, requests, waitMS, rows float64) {
	ms := waitMS + b.cpu(cloud, rows)
	steps := math.Ceil(ms/100) * 100
	switch cloud {
	case AWS:
		b.add("Lambda "+what, AWS, requests, "requests", b.v("lambda_request_million")/million)
		b.add("Lambda "+what, AWS, requests*math.Ceil(ms)/1000*b.v("aws_memory_mb")/1024, "GB-seconds", b.v("lambda_gb_second"))
	case Azure:
		b.add("Functions "+what, Azure, requests, "executions", b.v("functions_execution_million")/million)
		b.add("Functions "+what, Azure, requests*math.Max(steps, b.v("functions_minimum_ms"))/1000*b.v("azure_memory_mb")/1024, "GB-seconds", b.v("functions_gb_second"))
	case GCP:
		b.add("Cloud Run "+what, GCP, requests, "requests", b.v("cloudrun_request_million")/million)
		b.add("Cloud Run "+what, GCP, requests*steps/1000, "seconds", b.v("cloudrun_cpu_second")+b.v("gcp_memory_mb")/1024*b.v("cloudrun_gib_second"))
	}
	b.log(cloud, requests*b.v(cloud+"_log_bytes"))
}

// log adds the logs that a query leaves.
func (b *bill) log(cloud string, bytes float64) {
	prices := map[string]string{AWS: "cloudwatch_gb", Azure: "azure_log_gb", GCP: "gcp_log_gb"}
	b.bytes("logs", cloud, bytes, prices[cloud])
}

// egress adds what leaves a cloud.
func (b *bill) egress(cloud string, bytes float64) {
	b.bytes("bytes out", cloud, bytes, cloud+"_egress_gb")
}

func (b *bill) bytes(what, cloud string, bytes float64, price string) {
	if cloud == GCP {
		b.add(what, cloud, bytes/(1<<30), "GiB", b.v(price))
		return
	}
	b.add(what, cloud, bytes/1e9, "GB", b.v(price))
}

// merge puts lines of the same together, the dearest first.
func (b *bill) merge() {
	var all []Item
	for _, i := range b.Items {
		if at := slices.IndexFunc(all, func(o Item) bool { return o.What == i.What && o.Cloud == i.Cloud && o.Unit == i.Unit }); at >= 0 {
			all[at].Quantity += i.Quantity
			all[at].USD += i.USD
			continue
		}
		all = append(all, i)
	}
	slices.SortStableFunc(all, func(x, y Item) int { return cmp.Compare(y.USD, x.USD) })
	b.Items = all
}

// Month returns what a route costs a month besides: the token's secrets, and on
// AWS the functions' metrics, which count if each hour has a query.
func (f Figures) Month(r Route) float64 {
	usd, functions := 0.0, 0
	if r.Twin == AWS { // history and latest values
		functions += 2
	}
	if r.Twin != r.Hot {
		usd = f[r.Twin+"_secret_month"].Value + f[r.Hot+"_secret_month"].Value
		if r.Hot == AWS { // the API
			functions++
		}
	} else if r.Twin != AWS { // there without API and token
		usd = f[r.Twin+"_secret_month"].Value
	}
	return usd + float64(functions)*f["aws_metrics"].Value*f["cloudwatch_metric_month"].Value
}
