//! A group as cAdvisor labels it, and where its values go.
//!
//! The labels of a body's groups are made once, as text, and hold nothing of the sweep, so that a body can be written in
//! pieces, with a pause between two.

use crate::details::Details;
use crate::disk::{DiskUse, Use};
use crate::sample::{ContainerReading, PodReading, Reading, Sweep};
use crate::selection::Selection;
use crate::table::Metric;
use flyball_model::exposition::{Number, Writer, push_label};
use std::collections::HashMap;
use std::fmt::Write as _;

/// A group's labels, and where in its sweep it stands.
pub struct Labelled {
    who: Who,
    /// The container whose interfaces are a pod's, by its place in the sweep.
    network: Option<usize>,
    /// The common labels, with commas between them.
    text: String,
    /// Where in it what comes before `id` ends, and what comes before `name`.
    ends: [usize; 2],
}

/// A group of a sweep, by its place there.
#[derive(Debug, Clone, Copy)]
enum Who {
    Node,
    System(usize),
    Pod(usize),
    Container(usize),
}

/// A group whose values are written.
pub struct Subject<'a> {
    /// Values of the sweep.
    pub reading: &'a Reading,
    /// Values of the slower tier.
    pub details: &'a Details,
    /// The interfaces shown with it.
    pub network: &'a Details,
    /// What writable layers take, and the id of the container that this one is.
    disk: Option<(&'a DiskUse, &'a str)>,
    labels: &'a Labelled,
}

static NO_DETAILS: std::sync::LazyLock<Details> = std::sync::LazyLock::new(Details::default);

impl Labelled {
    /// The machine, its pods and its containers, and the groups above and beside them; by path.
    pub fn all(sweep: &Sweep, selection: &Selection) -> Vec<Labelled> {
        // The interfaces of pods whose sandbox is not known, by pod.
        let mut networks: HashMap<&str, usize> = HashMap::new();
        for (at, container) in sweep.containers.iter().enumerate() {
            if !container.looks_like_sandbox && !container.details.network.is_empty() {
                networks.insert(&container.pod_uid, at);
            }
        }
        let mut all = Vec::with_capacity(1 + sweep.system.len() + sweep.pods.len() + sweep.containers.len());
        all.push((Labels { id: "/", ..Labels::default() }, Who::Node, None));
        for (at, system) in sweep.system.iter().enumerate() {
            all.push((Labels { id: &system.path, ..Labels::default() }, Who::System(at), None));
        }
        for (at, pod) in sweep.pods.iter().enumerate() {
            all.push((Labels::of_pod(pod), Who::Pod(at), networks.get(&*pod.uid).copied()));
        }
        for (at, container) in sweep.containers.iter().enumerate() {
            all.push((Labels::of_container(container), Who::Container(at), None));
        }
        all.retain(|(labels, who, _)| match who {
            Who::Node => true,
            Who::System(_) => selection.keeps(""),
            Who::Pod(_) => selection.keeps(labels.pod),
            Who::Container(_) => selection.keeps(labels.container),
        });
        all.sort_unstable_by_key(|(labels, _, _)| (labels.id, labels.name));
        all.into_iter().map(|(labels, who, network)| Labelled::new(&labels, who, network, selection)).collect()
    }

    fn new(labels: &Labels<'_>, who: Who, network: Option<usize>, selection: &Selection) -> Labelled {
        let groups: [&[(&str, &str)]; 3] = [
            &[("container", labels.container)],
            &[("id", labels.id), ("image", labels.image)],
            &[("name", labels.name), ("namespace", labels.namespace), ("pod", labels.pod)],
        ];
        let room = groups.iter().flat_map(|group| group.iter()).map(|(name, value)| name.len() + value.len() + 4);
        let mut text = String::with_capacity(room.sum());
        let ends = groups.map(|group| {
            for (name, value) in group.iter().filter(|(name, _)| !selection.drops(name)) {
                push_label(&mut text, name, value);
            }
            text.len()
        });
        Labelled { who, network, text, ends: [ends[0], ends[1]] }
    }

    /// The group in its sweep; `None` in another one.
    pub fn subject<'a>(&'a self, sweep: &'a Sweep, disk: &'a DiskUse) -> Option<Subject<'a>> {
        let subject = |reading, details, network| Subject { reading, details, network, disk: None, labels: self };
        Some(match self.who {
            Who::Node => subject(&sweep.node, &*sweep.node_details, &*sweep.node_details),
            Who::System(at) => {
                let system = sweep.system.get(at)?;
                subject(&system.reading, &*system.details, &*NO_DETAILS)
            }
            Who::Pod(at) => {
                let pod = sweep.pods.get(at)?;
                let network = self.network.and_then(|at| sweep.containers.get(at));
                subject(&pod.reading, &*pod.details, network.map_or(&*NO_DETAILS, |container| &*container.details))
            }
            Who::Container(at) => {
                let container = sweep.containers.get(at)?;
                let network = if container.looks_like_sandbox { &*container.details } else { &*NO_DETAILS };
                let disk = Some((disk, &*container.id));
                Subject { disk, ..subject(&container.reading, &*container.details, network) }
            }
        })
    }

    /// What comes before `id`.
    fn container(&self) -> &str {
        self.part(0, self.ends[0])
    }

    /// `id` and `image`.
    fn id_image(&self) -> &str {
        self.part(self.ends[0], self.ends[1])
    }

    /// `name`, `namespace` and `pod`.
    fn name_pod(&self) -> &str {
        self.part(self.ends[1], self.text.len())
    }

    fn part(&self, start: usize, end: usize) -> &str {
        self.text.get(start..end).unwrap_or_default().trim_start_matches(',')
    }
}

impl Subject<'_> {
    /// What its writable layer takes.
    pub fn disk(&self) -> Option<&Use> {
        let (disk, id) = self.disk?;
        disk.containers.get(id)?.root.as_ref()
    }
}

#[derive(Default)]
struct Labels<'a> {
    container: &'a str,
    id: &'a str,
    image: &'a str,
    name: &'a str,
    namespace: &'a str,
    pod: &'a str,
}

impl<'a> Labels<'a> {
    fn of_pod(pod: &'a PodReading) -> Labels<'a> {
        let name = pod.name.as_deref();
        let (namespace, pod_name) = name.map_or(("", ""), |name| (name.namespace.as_str(), name.pod.as_str()));
        Labels { id: &pod.path, namespace, pod: pod_name, ..Labels::default() }
    }

    fn of_container(container: &'a ContainerReading) -> Labels<'a> {
        let labels = Labels { id: &container.path, name: &container.id, ..Labels::default() };
        match (container.name.as_deref(), container.pod_name.as_deref()) {
            (Some(name), _) => Labels {
                container: &name.container,
                image: &name.image,
                namespace: &name.pod.namespace,
                pod: &name.pod.pod,
                ..labels
            },
            (None, Some(pod)) => Labels { namespace: &pod.namespace, pod: &pod.pod, ..labels },
            (None, None) => labels,
        }
    }
}

/// Where a label of a family's own stands among the common ones, so that all are in ascending order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Between `container` and `id`.
    BeforeId,
    /// Between `image` and `name`.
    BeforeName,
    /// After `pod`.
    Last,
}

/// Receives the values of one family.
pub struct Sink<'a, 'w> {
    writer: &'w mut Writer,
    metric: &'a Metric,
    /// The sweep all values are of.
    pub sweep: &'a Sweep,
    introduced: bool,
    own: String,
    last: String,
}

impl<'a, 'w> Sink<'a, 'w> {
    /// For a family; `introduced`: values of it were written already.
    pub fn new(
        writer: &'w mut Writer,
        metric: &'a Metric,
        sweep: &'a Sweep,
        introduced: bool,
    ) -> Sink<'a, 'w> {
        Sink { writer, metric, sweep, introduced, own: String::new(), last: String::new() }
    }

    /// Whether values of the family were written.
    pub fn introduced(&self) -> bool {
        self.introduced
    }

    /// Bytes in the writer.
    pub fn written(&self) -> usize {
        self.writer.written()
    }

    /// A value without labels of its own. Nothing is written for an absent one.
    pub fn put(&mut self, subject: &Subject<'_>, value: Option<Number>, unix_ms: Option<i64>) {
        let Some(value) = value else { return };
        self.introduce();
        self.writer.sample_text(self.metric.name, &[&subject.labels.text], value, unix_ms);
    }

    /// A value with one label of its own.
    pub fn put_labelled(
        &mut self,
        subject: &Subject<'_>,
        place: Place,
        label: (&str, &str),
        value: Option<Number>,
        unix_ms: Option<i64>,
    ) {
        let Some(value) = value else { return };
        self.introduce();
        self.own.clear();
        push_label(&mut self.own, label.0, label.1);
        let labels = subject.labels;
        let (container, id_image, name_pod) = (labels.container(), labels.id_image(), labels.name_pod());
        let pieces: [&str; 4] = match place {
            Place::BeforeId => [container, &self.own, id_image, name_pod],
            Place::BeforeName => [container, id_image, &self.own, name_pod],
            Place::Last => [container, id_image, name_pod, &self.own],
        };
        self.writer.sample_text(self.metric.name, &pieces, value, unix_ms);
    }

    /// A value with a label before `id` and one after `pod`.
    pub fn put_framed(
        &mut self,
        subject: &Subject<'_>,
        first: (&str, &str),
        last: (&str, &str),
        value: Option<Number>,
        unix_ms: Option<i64>,
    ) {
        let Some(value) = value else { return };
        self.introduce();
        self.own.clear();
        self.last.clear();
        push_label(&mut self.own, first.0, first.1);
        push_label(&mut self.last, last.0, last.1);
        let labels = subject.labels;
        let pieces: [&str; 5] =
            [labels.container(), &self.own, labels.id_image(), labels.name_pod(), &self.last];
        self.writer.sample_text(self.metric.name, &pieces, value, unix_ms);
    }

    /// A value of a block device, labelled as blkio's are.
    pub fn put_block_device(
        &mut self,
        subject: &Subject<'_>,
        device: (u32, u32),
        operation: &str,
        value: Option<Number>,
        unix_ms: Option<i64>,
    ) {
        let Some(value) = value else { return };
        let name = self.device(device);
        self.introduce();
        self.own.clear();
        push_label(&mut self.own, "device", &name);
        let (mut numbers, mut last) = (String::new(), String::new());
        push_label(&mut numbers, "major", &device.0.to_string());
        push_label(&mut numbers, "minor", &device.1.to_string());
        push_label(&mut last, "operation", operation);
        let labels = subject.labels;
        // `operation` belongs between `namespace` and `pod`; the order of labels means nothing.
        let pieces: [&str; 6] = [
            labels.container(),
            &self.own,
            labels.id_image(),
            &numbers,
            labels.name_pod(),
            &last,
        ];
        self.writer.sample_text(self.metric.name, &pieces, value, unix_ms);
    }

    /// The name under which a device is shown: `/dev/…` as the kernel names it, else its numbers.
    pub fn device(&self, device: (u32, u32)) -> String {
        match self.sweep.devices.get(&device) {
            Some(name) => format!("/dev/{name}"),
            None => {
                let mut numbers = String::new();
                let _ = write!(numbers, "{}:{}", device.0, device.1);
                numbers
            }
        }
    }

    fn introduce(&mut self) {
        if !std::mem::replace(&mut self.introduced, true) {
            self.writer.family(self.metric.name, self.metric.help, self.metric.kind, self.metric.unit);
        }
    }
}
