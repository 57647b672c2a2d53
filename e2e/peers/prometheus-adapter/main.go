// Program rules asks prometheus-adapter's own packages what they make of a configuration: which metrics of which resources
// given series become, and which queries answer for them. It reads cases as JSON from standard input and prints them with
// the answers. With the argument "templates" it does the same with Go's text/template alone.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"text/template"

	pmodel "github.com/prometheus/common/model"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	prom "sigs.k8s.io/prometheus-adapter/pkg/client"
	"sigs.k8s.io/prometheus-adapter/pkg/config"
	"sigs.k8s.io/prometheus-adapter/pkg/naming"
)

// Kind is one row of the cluster's discovery.
type Kind struct {
	Group      string `json:"group"`
	Version    string `json:"version"`
	Kind       string `json:"kind"`
	Plural     string `json:"plural"`
	Namespaced bool   `json:"namespaced"`
}

// Request asks for the query of every metric whose name and resource fit.
type Request struct {
	Namespace string   `json:"namespace"`
	Names     []string `json:"names"`
	Selector  string   `json:"selector"`
}

// Series is one of the backend's, labels without the name.
type Series struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels"`
}

// Input is all that is asked.
type Input struct {
	Kinds    []Kind            `json:"kinds"`
	Configs  map[string]string `json:"configs"`
	Series   []Series          `json:"series"`
	Requests []Request         `json:"requests"`
}

// Query is the text for one request, or why there is none.
type Query struct {
	Query string `json:"query,omitempty"`
	Error string `json:"error,omitempty"`
}

// Metric is one that a rule makes of a series; one query for each request.
type Metric struct {
	Rule       int     `json:"rule"`
	Series     string  `json:"series"`
	Metric     string  `json:"metric"`
	Resource   string  `json:"resource,omitempty"`
	Namespaced bool    `json:"namespaced"`
	Label      string  `json:"label,omitempty"`
	Queries    []Query `json:"queries"`
}

// Answer is what one configuration gives.
type Answer struct {
	Error    string   `json:"error,omitempty"`
	Custom   []Metric `json:"custom"`
	External []Metric `json:"external"`
	// Usage holds the queries of each request for pods' CPU and memory, then nodes'; nothing without resourceRules.
	Usage []Query `json:"usage"`
}

func mapper(kinds []Kind) apimeta.RESTMapper {
	mapper := apimeta.NewDefaultRESTMapper(nil)
	for _, kind := range kinds {
		scope := apimeta.RESTScopeRoot
		if kind.Namespaced {
			scope = apimeta.RESTScopeNamespace
		}
		mapper.Add(schema.GroupVersionKind{Group: kind.Group, Version: kind.Version, Kind: kind.Kind}, scope)
	}
	return mapper
}

func query(selector prom.Selector, err error) Query {
	if err != nil {
		return Query{Error: err.Error()}
	}
	return Query{Query: string(selector)}
}

func answer(text string, input Input, mapper apimeta.RESTMapper) Answer {
	cfg, err := config.FromYAML([]byte(text))
	if err != nil {
		return Answer{Error: err.Error()}
	}
	custom, err := naming.NamersFromConfig(cfg.Rules, mapper)
	if err != nil {
		return Answer{Error: err.Error()}
	}
	external, err := naming.NamersFromConfig(cfg.ExternalRules, mapper)
	if err != nil {
		return Answer{Error: err.Error()}
	}
	// Upstream's converters keep the labels that queries asked for, and then find them in series too: the first round makes
	// them know what they know after a while of running.
	ask(custom, external, input)
	answer := ask(custom, external, input)
	if cfg.ResourceRules != nil {
		answer.Usage, err = usage(cfg.ResourceRules, input, mapper)
		if err != nil {
			return Answer{Error: err.Error()}
		}
	}
	return answer
}

func usage(rules *config.ResourceRules, input Input, mapper apimeta.RESTMapper) ([]Query, error) {
	var queries []Query
	pods, nodes := schema.GroupResource{Resource: "pods"}, schema.GroupResource{Resource: "nodes"}
	for _, ofNodes := range []bool{false, true} {
		for _, rule := range []config.ResourceRule{rules.CPU, rules.Memory} {
			converter, err := naming.NewResourceConverter(rule.Resources.Template, rule.Resources.Overrides, mapper)
			if err != nil {
				return nil, err
			}
			containers, err := naming.NewMetricsQuery(rule.ContainerQuery, converter)
			if err != nil {
				return nil, err
			}
			wholes, err := naming.NewMetricsQuery(rule.NodeQuery, converter)
			if err != nil {
				return nil, err
			}
			for _, request := range input.Requests {
				if ofNodes {
					queries = append(queries, query(wholes.Build("", nodes, "", nil, labels.Everything(), request.Names...)))
				} else {
					extra := []string{rule.ContainerLabel}
					queries = append(queries, query(containers.Build("", pods, request.Namespace, extra, labels.Everything(), request.Names...)))
				}
			}
		}
	}
	return queries, nil
}

func ask(custom, external []naming.MetricNamer, input Input) Answer {
	answer := Answer{Custom: []Metric{}, External: []Metric{}}
	each(custom, input, func(rule int, namer naming.MetricNamer, series prom.Series, name string) {
		resources, namespaced := namer.ResourcesForSeries(series)
		for _, resource := range resources {
			metric := Metric{Rule: rule, Series: series.Name, Metric: name, Resource: resource.String(), Namespaced: namespaced}
			if resource == naming.NsGroupResource || resource == naming.NodeGroupResource || resource == naming.PVGroupResource {
				metric.Namespaced = false
			}
			label, err := namer.LabelForResource(resource)
			if err == nil {
				metric.Label = string(label)
			}
			for _, request := range input.Requests {
				namespace := request.Namespace
				if !metric.Namespaced {
					namespace = ""
				}
				selector := parse(request.Selector)
				metric.Queries = append(metric.Queries, query(namer.QueryForSeries(series.Name, resource, namespace, selector, request.Names...)))
			}
			answer.Custom = append(answer.Custom, metric)
		}
	})
	each(external, input, func(rule int, namer naming.MetricNamer, series prom.Series, name string) {
		metric := Metric{Rule: rule, Series: series.Name, Metric: name, Namespaced: true}
		for _, request := range input.Requests {
			metric.Queries = append(metric.Queries, query(namer.QueryForExternalSeries(series.Name, request.Namespace, parse(request.Selector))))
		}
		answer.External = append(answer.External, metric)
	})
	sorted(answer.Custom)
	sorted(answer.External)
	return answer
}

// each visits what each rule makes of the series that its selector finds. The selector is the backend's matter, so every
// series is taken for found: the configurations compared here say in their filters which series they mean.
func each(namers []naming.MetricNamer, input Input, visit func(int, naming.MetricNamer, prom.Series, string)) {
	var all []prom.Series
	for _, series := range input.Series {
		set := pmodel.LabelSet{}
		for name, value := range series.Labels {
			set[pmodel.LabelName(name)] = pmodel.LabelValue(value)
		}
		all = append(all, prom.Series{Name: series.Name, Labels: set})
	}
	for rule, namer := range namers {
		for _, series := range namer.FilterSeries(all) {
			name, err := namer.MetricNameForSeries(series)
			if err == nil {
				visit(rule, namer, series, name)
			}
		}
	}
}

func parse(text string) labels.Selector {
	selector, err := labels.Parse(text)
	if err != nil {
		panic(fmt.Sprintf("selector %q: %v", text, err))
	}
	return selector
}

func sorted(metrics []Metric) {
	sort.SliceStable(metrics, func(a, b int) bool {
		left, right := metrics[a], metrics[b]
		if left.Rule != right.Rule {
			return left.Rule < right.Rule
		}
		if left.Series != right.Series {
			return left.Series < right.Series
		}
		return left.Resource < right.Resource
	})
}

// arguments are those of upstream's query template.
type arguments struct {
	Series            string
	LabelMatchers     string
	LabelValuesByName map[string]string
	GroupBy           string
	GroupBySlice      []string
}

func templates(texts []string) []Query {
	values := arguments{
		Series:            "http_requests_total",
		LabelMatchers:     `namespace="shop",pod=~"a|b"`,
		LabelValuesByName: map[string]string{"namespace": "shop", "pod": "a|b", "empty": ""},
		GroupBy:           "pod,container",
		GroupBySlice:      []string{"pod", "container"},
	}
	var answers []Query
	for _, text := range texts {
		parsed, err := template.New("metrics-query").Delims("<<", ">>").Parse(text)
		if err != nil {
			answers = append(answers, Query{Error: "parse: " + err.Error()})
			continue
		}
		var out bytes.Buffer
		if err := parsed.Execute(&out, values); err != nil {
			answers = append(answers, Query{Error: "execute: " + err.Error()})
			continue
		}
		answers = append(answers, Query{Query: out.String()})
	}
	return answers
}

func main() {
	var result any
	if len(os.Args) > 1 && os.Args[1] == "templates" {
		var texts []string
		read(&texts)
		result = templates(texts)
	} else {
		var input Input
		read(&input)
		answers := map[string]Answer{}
		for name, text := range input.Configs {
			answers[name] = answer(text, input, mapper(input.Kinds))
		}
		result = answers
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(result); err != nil {
		panic(err)
	}
}

func read(into any) {
	if err := json.NewDecoder(os.Stdin).Decode(into); err != nil {
		fmt.Fprintln(os.Stderr, "the cases are not JSON:", err)
		os.Exit(1)
	}
}
