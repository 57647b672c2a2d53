// Prometheus' own query engine, for comparison: reads a script of `load` commands and queries, answers each query in a
// line of JSON.
//
// Standard input: `{"load": "load 15s\n  x 1 2 3\n"}` first, then one line per query:
// `{"query": "rate(x[1m])", "start": 0, "end": 60000, "step": 15000}` in milliseconds; a step of 0 asks at `start` alone.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/storage"
)

type line struct {
	Load  string `json:"load"`
	Query string `json:"query"`
	Start int64  `json:"start"`
	End   int64  `json:"end"`
	Step  int64  `json:"step"`
}

type series struct {
	Labels map[string]string `json:"labels"`
	Times  []int64           `json:"times"`
	Values []string          `json:"values"`
}

type answer struct {
	Type     string   `json:"type"`
	Series   []series `json:"series"`
	Error    string   `json:"error"`
	Warnings []string `json:"warnings"`
	Infos    []string `json:"infos"`
}

// Fails loudly where a test would.
type quitter struct{ *bufio.Writer }

func (quitter) Helper()                     {}
func (quitter) Cleanup(func())              {}
func (quitter) TempDir() string             { dir, _ := os.MkdirTemp("", "peer"); return dir }
func (quitter) FailNow()                    { os.Exit(1) }
func (quitter) Errorf(f string, args ...any) { fmt.Fprintf(os.Stderr, f+"\n", args...) }
func (quitter) Fatal(args ...any)           { fmt.Fprintln(os.Stderr, args...); os.Exit(1) }
func (quitter) Fatalf(f string, args ...any) { fmt.Fprintf(os.Stderr, f+"\n", args...); os.Exit(1) }
func (quitter) Log(args ...any)             {}
func (quitter) Logf(string, ...any)         {}
func (quitter) Failed() bool                { return false }
func (quitter) Name() string                { return "peer" }

func number(value float64) string { return strconv.FormatFloat(value, 'g', -1, 64) }

func evaluate(engine *promql.Engine, queryable storage.Queryable, in line) (out answer) {
	ctx := context.Background()
	var query promql.Query
	var err error
	start, end := time.UnixMilli(in.Start), time.UnixMilli(in.End)
	if in.Step == 0 {
		query, err = engine.NewInstantQuery(ctx, queryable, nil, in.Query, start)
	} else {
		query, err = engine.NewRangeQuery(ctx, queryable, nil, in.Query, start, end, time.Duration(in.Step)*time.Millisecond)
	}
	if err != nil {
		return answer{Error: err.Error()}
	}
	defer query.Close()
	result := query.Exec(ctx)
	if result.Err != nil {
		return answer{Error: result.Err.Error()}
	}
	out.Type = string(result.Value.Type())
	out.Warnings, out.Infos = result.Warnings.AsStrings(in.Query, 10, 10)
	switch value := result.Value.(type) {
	case promql.Scalar:
		out.Series = []series{{Times: []int64{value.T}, Values: []string{number(value.V)}}}
	case promql.String:
		out.Series = []series{{Times: []int64{value.T}, Values: []string{value.V}}}
	case promql.Vector:
		for _, sample := range value {
			out.Series = append(out.Series, series{sample.Metric.Map(), []int64{sample.T}, []string{number(sample.F)}})
		}
	case promql.Matrix:
		for _, one := range value {
			next := series{Labels: one.Metric.Map()}
			for _, point := range one.Floats {
				next.Times = append(next.Times, point.T)
				next.Values = append(next.Values, number(point.F))
			}
			out.Series = append(out.Series, next)
		}
	}
	return out
}

func main() {
	parser.EnableExperimentalFunctions = true
	engine := promql.NewEngine(promql.EngineOpts{
		MaxSamples:               50_000_000,
		Timeout:                  time.Minute,
		NoStepSubqueryIntervalFn: func(int64) int64 { return 60_000 },
		EnableAtModifier:         true,
		EnableNegativeOffset:     true,
	})
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64<<20)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	var queryable storage.Queryable
	for lines.Scan() {
		var in line
		if err := json.Unmarshal(lines.Bytes(), &in); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		if in.Load != "" {
			queryable = promqltest.LoadedStorage(quitter{}, in.Load)
			continue
		}
		text, _ := json.Marshal(evaluate(engine, queryable, in))
		out.Write(text)
		out.WriteByte('\n')
	}
}
