// Program hpa answers what upstream's horizontal pod autoscaler does: its own controller and replica calculator, as
// published in the Go module and unchanged, on fakes of everything around them. Each line of standard input is a case: an
// HPA and some steps, each with what the world looks like then. Each line of standard output holds, per step, the replicas
// that the scale has afterwards, the status, and the events.
//
// The clock is that of testing/synctest: every case begins at the same moment, and only a step moves it. The one thing the
// controller does not export is its reconcile function, which the linker finds by name.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"runtime/debug"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/go-logr/logr"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	autoscalingclient "k8s.io/client-go/kubernetes/typed/autoscaling/v2"
	v1core "k8s.io/client-go/kubernetes/typed/core/v1"
	autoscalinglisters "k8s.io/client-go/listers/autoscaling/v2"
	corelisters "k8s.io/client-go/listers/core/v1"
	scaleclient "k8s.io/client-go/scale"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller/podautoscaler"
	metricsclient "k8s.io/kubernetes/pkg/controller/podautoscaler/metrics"
)

//go:linkname reconcileKey k8s.io/kubernetes/pkg/controller/podautoscaler.(*HorizontalController).reconcileKey
func reconcileKey(a *podautoscaler.HorizontalController, ctx context.Context, key string) (deleted bool, err error)

// Longest line that is read.
const lineLimit = 64 << 20

type settings struct {
	Tolerance           float64 `json:"tolerance"`
	CPUInitializationMs int64   `json:"cpuInitializationMs"`
	ReadinessDelayMs    int64   `json:"readinessDelayMs"`
	DownscaleMs         int64   `json:"downscaleMs"`
}

type testCase struct {
	HPA         *autoscaling.HorizontalPodAutoscaler
	Settings    settings
	ScaleToZero bool
	// Of all pods that have none of their own.
	Containers []container
	Init       []container
	Steps      []step
}

type step struct {
	AfterMs        int64
	MinReplicas    *int32
	MaxReplicas    *int32
	SetReplicas    *int32
	StatusReplicas *int32
	Selector       string
	Pods           []pod
	Answers        map[string]answer
	ScaleError     string
	UpdateError    string
}

type container struct {
	Name     string
	Requests map[v1.ResourceName]int64
	// Init containers only: it keeps running beside the others.
	Sidecar bool
}

type pod struct {
	Own          bool
	Name         string
	Phase        v1.PodPhase
	Deleting     bool
	StartMs      *int64
	Ready        v1.ConditionStatus
	TransitionMs int64
	PodLevel     map[v1.ResourceName]int64
	Overhead     map[v1.ResourceName]int64
	Containers   []container
	Init         []container
}

type sample struct {
	Pod         string
	Value       int64
	TimestampMs int64
	WindowMs    int64
}

type answer struct {
	Error  string
	Pods   []sample
	Values []int64
}

type result struct {
	Replicas int32
	Status   autoscaling.HorizontalPodAutoscalerStatus
	Wrote    bool
	Events   [][3]string
	Error    string
}

// world is everything around the controller, for the step at hand.
type world struct {
	hpa     *autoscaling.HorizontalPodAutoscaler
	given   *testCase
	now     *step
	pods    []*v1.Pod
	scale   autoscalingv1.Scale
	outcome *result
}

var around world

func main() {
	// Everything lives for one case only.
	debug.SetGCPercent(1000)
	klog.SetLogger(logr.Discard())
	utilruntime.ErrorHandlers = nil
	all := func(string, string) (bool, error) { return true, nil }
	// synctest asks for a test, so this program is one; after the last answer it prints PASS.
	testing.Main(all, []testing.InternalTest{{Name: "serve", F: serve}}, nil, nil)
}

func serve(t *testing.T) {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(make([]byte, 1<<20), lineLimit)
	encoder := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var given testCase
		if err := json.Unmarshal(lines.Bytes(), &given); err != nil {
			t.Fatalf("a case cannot be read: %v", err)
		}
		results := run(t, &given)
		if err := encoder.Encode(results); err != nil {
			t.Fatal(err)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, given *testCase) []result {
	if utilfeature.DefaultFeatureGate.Enabled("HPAScaleToZero") != given.ScaleToZero {
		gate := map[string]bool{"HPAScaleToZero": given.ScaleToZero}
		if err := utilfeature.DefaultMutableFeatureGate.SetFromMap(gate); err != nil {
			t.Fatal(err)
		}
	}
	machine := controllerOf(given.Settings)
	around = world{hpa: given.HPA, given: given}
	around.scale.Name = given.HPA.Spec.ScaleTargetRef.Name
	around.scale.Namespace = given.HPA.Namespace
	key := given.HPA.Namespace + "/" + given.HPA.Name
	machine.handler.OnAdd(given.HPA, false)
	results := make([]result, 0, len(given.Steps))
	synctest.Test(t, func(t *testing.T) {
		for i := range given.Steps {
			results = append(results, one(t.Context(), machine.controller, key, &given.Steps[i]))
		}
		around.hpa = nil
		reconcileKey(machine.controller, t.Context(), key)
	})
	machine.handler.OnDelete(given.HPA)
	return results
}

func one(ctx context.Context, controller *podautoscaler.HorizontalController, key string, now *step) result {
	time.Sleep(time.Duration(now.AfterMs) * time.Millisecond)
	around.now = now
	around.pods = make([]*v1.Pod, len(now.Pods))
	for i := range now.Pods {
		around.pods[i] = now.Pods[i].object(around.hpa.Namespace)
	}
	if now.MinReplicas != nil || now.MaxReplicas != nil {
		changed := around.hpa.DeepCopy()
		changed.Generation++
		if now.MinReplicas != nil {
			changed.Spec.MinReplicas = now.MinReplicas
		}
		if now.MaxReplicas != nil {
			changed.Spec.MaxReplicas = *now.MaxReplicas
		}
		around.hpa = changed
	}
	if now.SetReplicas != nil {
		around.scale.Spec.Replicas = *now.SetReplicas
	}
	around.scale.Status.Replicas = around.scale.Spec.Replicas
	if now.StatusReplicas != nil {
		around.scale.Status.Replicas = *now.StatusReplicas
	}
	around.scale.Status.Selector = now.Selector
	var outcome result
	around.outcome = &outcome
	_, err := reconcileKey(controller, ctx, key)
	if err != nil {
		outcome.Error = err.Error()
	}
	outcome.Replicas = around.scale.Spec.Replicas
	outcome.Status = around.hpa.Status
	return outcome
}

func milli(amounts map[v1.ResourceName]int64) v1.ResourceList {
	if amounts == nil {
		return nil
	}
	list := make(v1.ResourceList, len(amounts))
	for name, amount := range amounts {
		list[name] = *resource.NewMilliQuantity(amount, resource.DecimalSI)
	}
	return list
}

func (c container) object() v1.Container {
	object := v1.Container{Name: c.Name, Resources: v1.ResourceRequirements{Requests: milli(c.Requests)}}
	if c.Sidecar {
		always := v1.ContainerRestartPolicyAlways
		object.RestartPolicy = &always
	}
	return object
}

func (p *pod) object(namespace string) *v1.Pod {
	if !p.Own {
		p.Containers, p.Init = around.given.Containers, around.given.Init
	}
	object := &v1.Pod{}
	object.Name, object.Namespace = p.Name, namespace
	object.Labels = map[string]string{"app": "web"}
	object.Status.Phase = p.Phase
	if p.Deleting {
		now := metav1.Now()
		object.DeletionTimestamp = &now
	}
	if p.StartMs != nil {
		start := metav1.NewTime(time.UnixMilli(*p.StartMs))
		object.Status.StartTime = &start
	}
	if p.Ready != "" {
		changed := metav1.NewTime(time.UnixMilli(p.TransitionMs))
		object.Status.Conditions = []v1.PodCondition{
			{Type: v1.PodScheduled, Status: v1.ConditionTrue},
			{Type: v1.PodReady, Status: p.Ready, LastTransitionTime: changed},
		}
	}
	for _, each := range p.Containers {
		object.Spec.Containers = append(object.Spec.Containers, each.object())
	}
	for _, each := range p.Init {
		object.Spec.InitContainers = append(object.Spec.InitContainers, each.object())
	}
	if p.PodLevel != nil {
		object.Spec.Resources = &v1.ResourceRequirements{Requests: milli(p.PodLevel)}
	}
	object.Spec.Overhead = milli(p.Overhead)
	return object
}

// A controller with the handler that it registered for HPAs.
type machine struct {
	controller *podautoscaler.HorizontalController
	handler    cache.ResourceEventHandler
}

var machines = map[settings]*machine{}

func controllerOf(wanted settings) *machine {
	if known := machines[wanted]; known != nil {
		return known
	}
	fresh := &machine{}
	duration := func(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }
	fresh.controller = podautoscaler.NewHorizontalController(
		context.Background(), events{}, scales{}, hpas{}, mapper{}, metrics{}, hpaInformer{machine: fresh}, podInformer{},
		15*time.Second, duration(wanted.DownscaleMs), wanted.Tolerance, duration(wanted.CPUInitializationMs),
		duration(wanted.ReadinessDelayMs),
	)
	// Its own recorder sends from another goroutine; events are wanted in order and at once.
	field := reflect.ValueOf(fresh.controller).Elem().FieldByName("eventRecorder")
	*(*record.EventRecorder)(unsafe.Pointer(field.UnsafeAddr())) = recorder{}
	machines[wanted] = fresh
	return fresh
}

type recorder struct{}

func (recorder) Event(_ runtime.Object, kind, reason, message string) {
	around.outcome.Events = append(around.outcome.Events, [3]string{kind, reason, message})
}

func (r recorder) Eventf(object runtime.Object, kind, reason, format string, args ...any) {
	r.Event(object, kind, reason, fmt.Sprintf(format, args...))
}

func (r recorder) AnnotatedEventf(object runtime.Object, _ map[string]string, kind, reason, format string, args ...any) {
	r.Eventf(object, kind, reason, format, args...)
}

type events struct{}

func (events) Events(string) v1core.EventInterface { return nil }

type mapper struct{ apimeta.RESTMapper }

func (mapper) RESTMappings(schema.GroupKind, ...string) ([]*apimeta.RESTMapping, error) {
	return []*apimeta.RESTMapping{{Resource: schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}}}, nil
}

type scales struct{}

func (scales) Scales(string) scaleclient.ScaleInterface { return scaleOf{} }

type scaleOf struct{ scaleclient.ScaleInterface }

func (scaleOf) Get(context.Context, schema.GroupResource, string, metav1.GetOptions) (*autoscalingv1.Scale, error) {
	if around.now.ScaleError != "" {
		return nil, errors.New(around.now.ScaleError)
	}
	return around.scale.DeepCopy(), nil
}

func (scaleOf) Update(_ context.Context, _ schema.GroupResource, scale *autoscalingv1.Scale, _ metav1.UpdateOptions) (*autoscalingv1.Scale, error) {
	if around.now.UpdateError != "" {
		return nil, errors.New(around.now.UpdateError)
	}
	around.scale.Spec.Replicas = scale.Spec.Replicas
	return scale, nil
}

type hpas struct{}

func (hpas) HorizontalPodAutoscalers(string) autoscalingclient.HorizontalPodAutoscalerInterface {
	return hpaOf{}
}

type hpaOf struct {
	autoscalingclient.HorizontalPodAutoscalerInterface
}

func (hpaOf) UpdateStatus(_ context.Context, hpa *autoscaling.HorizontalPodAutoscaler, _ metav1.UpdateOptions) (*autoscaling.HorizontalPodAutoscaler, error) {
	// Behaviour is filled in on the controller's copy of the spec; a status update does not store that.
	stored := around.hpa.DeepCopy()
	stored.Status = hpa.Status
	around.hpa = stored
	around.outcome.Wrote = true
	return stored, nil
}

type hpaInformer struct{ machine *machine }

func (i hpaInformer) Informer() cache.SharedIndexInformer { return informer{machine: i.machine} }

func (hpaInformer) Lister() autoscalinglisters.HorizontalPodAutoscalerLister { return hpaLister{} }

type podInformer struct{}

func (podInformer) Informer() cache.SharedIndexInformer { return informer{} }

func (podInformer) Lister() corelisters.PodLister { return podLister{} }

type informer struct {
	cache.SharedIndexInformer
	machine *machine
}

func (i informer) AddEventHandlerWithResyncPeriod(handler cache.ResourceEventHandler, _ time.Duration) (cache.ResourceEventHandlerRegistration, error) {
	i.machine.handler = handler
	return nil, nil
}

func (informer) HasSynced() bool { return true }

func (informer) GetStore() cache.Store { return store{} }

type store struct{ cache.Store }

// Newer than every version that is ever written here.
func (store) LastStoreSyncResourceVersion() string { return "9" }

type hpaLister struct {
	autoscalinglisters.HorizontalPodAutoscalerLister
}

func (l hpaLister) HorizontalPodAutoscalers(string) autoscalinglisters.HorizontalPodAutoscalerNamespaceLister {
	return hpaNamespaceLister{}
}

type hpaNamespaceLister struct {
	autoscalinglisters.HorizontalPodAutoscalerNamespaceLister
}

func (hpaNamespaceLister) Get(name string) (*autoscaling.HorizontalPodAutoscaler, error) {
	if around.hpa == nil {
		return nil, apierrors.NewNotFound(autoscaling.Resource("horizontalpodautoscalers"), name)
	}
	return around.hpa, nil
}

type podLister struct{ corelisters.PodLister }

func (podLister) Pods(string) corelisters.PodNamespaceLister { return podNamespaceLister{} }

type podNamespaceLister struct{ corelisters.PodNamespaceLister }

func (podNamespaceLister) List(labels.Selector) ([]*v1.Pod, error) { return around.pods, nil }

type metrics struct{}

func (metrics) perPod(key string) (metricsclient.PodMetricsInfo, time.Time, error) {
	given := around.now.Answers[key]
	if given.Error != "" {
		return nil, time.Time{}, errors.New(given.Error)
	}
	info := make(metricsclient.PodMetricsInfo, len(given.Pods))
	for _, each := range given.Pods {
		info[each.Pod] = metricsclient.PodMetric{
			Timestamp: time.UnixMilli(each.TimestampMs),
			Window:    time.Duration(each.WindowMs) * time.Millisecond,
			Value:     each.Value,
		}
	}
	return info, time.Now(), nil
}

func (metrics) whole(key string) ([]int64, time.Time, error) {
	given := around.now.Answers[key]
	if given.Error != "" {
		return nil, time.Time{}, errors.New(given.Error)
	}
	return given.Values, time.Now(), nil
}

func (m metrics) GetResourceMetric(_ context.Context, name v1.ResourceName, _ string, _ labels.Selector, container string) (metricsclient.PodMetricsInfo, time.Time, error) {
	return m.perPod("resource/" + string(name) + "/" + container)
}

func (m metrics) GetRawMetric(name, _ string, _, _ labels.Selector) (metricsclient.PodMetricsInfo, time.Time, error) {
	return m.perPod("pods/" + name)
}

func (m metrics) GetObjectMetric(name, _ string, _ *autoscaling.CrossVersionObjectReference, _ labels.Selector) (int64, time.Time, error) {
	values, at, err := m.whole("object/" + name)
	if err != nil {
		return 0, time.Time{}, err
	}
	return values[0], at, nil
}

func (m metrics) GetExternalMetric(name, _ string, _ labels.Selector) ([]int64, time.Time, error) {
	return m.whole("external/" + name)
}
