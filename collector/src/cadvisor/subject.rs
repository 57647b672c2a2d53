//! A group as cAdvisor labels it, and where its values go.

use crate::details::Details;
use crate::disk::{DiskUse, Use};
use crate::sample::{ContainerReading, PodReading, Reading, Sweep};
use crate::selection::Selection;
use crate::table::Metric;
use flyball_model::exposition::{Number, Writer, push_label};
use std::collections::HashMap;
use std::fmt::Write as _;

/// A group whose values are written.
pub struct Subject<'a> {
    /// Values of the sweep.
    pub reading: &'a Reading,
    /// Values of the slower tier.
    pub details: &'a Details,
    /// The interfaces shown with it.
    pub network: &'a Details,
    /// What its writable layer takes.
    pub disk: Option<&'a Use>,
    /// Its label `container`, and what comes before `id`.
    container: String,
    /// `id` and `image`.
    id_image: String,
    /// `name`, `namespace` and `pod`.
    name_pod: String,
    order: (&'a str, &'a str),
}

static NO_DETAILS: std::sync::LazyLock<Details> = std::sync::LazyLock::new(Details::default);

impl<'a> Subject<'a> {
    /// The machine, its pods and its containers, and the groups above and beside them; by path.
    pub fn all(sweep: &'a Sweep, disk: &'a DiskUse, selection: &Selection) -> Vec<Subject<'a>> {
        // The interfaces of pods whose sandbox is not known, by pod.
        let mut networks: HashMap<&str, &Details> = HashMap::new();
        for container in sweep.containers.iter().filter(|container| !container.looks_like_sandbox) {
            if !container.details.network.is_empty() {
                networks.insert(&container.pod_uid, &container.details);
            }
        }
        let mut subjects =
            Vec::with_capacity(1 + sweep.system.len() + sweep.pods.len() + sweep.containers.len());
        subjects.push(Subject::node(sweep, selection));
        subjects.extend(sweep.system.iter().filter(|_| selection.keeps("")).map(|system| {
            let labels = Labels { id: &system.path, ..Labels::default() };
            Subject::labelled(labels, &system.reading, &system.details, &NO_DETAILS, selection)
        }));
        subjects.extend(sweep.pods.iter().filter_map(|pod| {
            let network = networks.get(&*pod.uid).copied().unwrap_or(&NO_DETAILS);
            Subject::pod(pod, network, selection)
        }));
        subjects.extend(sweep.containers.iter().filter_map(|container| {
            let mut subject = Subject::container(container, selection)?;
            subject.disk = disk.containers.get(&container.id).and_then(|used| used.root.as_ref());
            Some(subject)
        }));
        subjects.sort_unstable_by_key(|subject| subject.order);
        subjects
    }

    fn node(sweep: &'a Sweep, selection: &Selection) -> Subject<'a> {
        let labels = Labels { id: "/", ..Labels::default() };
        Subject::labelled(labels, &sweep.node, &sweep.node_details, &sweep.node_details, selection)
    }

    fn pod(pod: &'a PodReading, network: &'a Details, selection: &Selection) -> Option<Subject<'a>> {
        let (namespace, name) =
            pod.name.as_deref().map_or(("", ""), |name| (name.namespace.as_str(), name.pod.as_str()));
        let labels = Labels { id: &pod.path, namespace, pod: name, ..Labels::default() };
        selection
            .keeps(name)
            .then(|| Subject::labelled(labels, &pod.reading, &pod.details, network, selection))
    }

    fn container(container: &'a ContainerReading, selection: &Selection) -> Option<Subject<'a>> {
        let mut labels = Labels { id: &container.path, name: &container.id, ..Labels::default() };
        if let Some(name) = container.name.as_deref() {
            labels.container = &name.container;
            labels.image = &name.image;
            labels.namespace = &name.pod.namespace;
            labels.pod = &name.pod.pod;
        } else if let Some(pod) = container.pod_name.as_deref() {
            labels.namespace = &pod.namespace;
            labels.pod = &pod.pod;
        }
        let network: &Details = if container.looks_like_sandbox { &container.details } else { &NO_DETAILS };
        selection
            .keeps(labels.container)
            .then(|| Subject::labelled(labels, &container.reading, &container.details, network, selection))
    }

    fn labelled(
        labels: Labels<'a>,
        reading: &'a Reading,
        details: &'a Details,
        network: &'a Details,
        selection: &Selection,
    ) -> Subject<'a> {
        let piece = |pairs: &[(&str, &str)]| {
            let mut piece =
                String::with_capacity(pairs.iter().map(|(name, value)| name.len() + value.len() + 4).sum());
            for (name, value) in pairs.iter().filter(|(name, _)| !selection.drops(name)) {
                push_label(&mut piece, name, value);
            }
            piece
        };
        Subject {
            reading,
            details,
            network,
            disk: None,
            container: piece(&[("container", labels.container)]),
            id_image: piece(&[("id", labels.id), ("image", labels.image)]),
            name_pod: piece(&[("name", labels.name), ("namespace", labels.namespace), ("pod", labels.pod)]),
            order: (labels.id, labels.name),
        }
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
    /// For a family.
    pub fn new(writer: &'w mut Writer, metric: &'a Metric, sweep: &'a Sweep) -> Sink<'a, 'w> {
        Sink { writer, metric, sweep, introduced: false, own: String::new(), last: String::new() }
    }

    /// A value without labels of its own. Nothing is written for an absent one.
    pub fn put(&mut self, subject: &Subject<'_>, value: Option<Number>, unix_ms: Option<i64>) {
        let Some(value) = value else { return };
        self.introduce();
        let labels = [subject.container.as_str(), &subject.id_image, &subject.name_pod];
        self.writer.sample_text(self.metric.name, &labels, value, unix_ms);
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
        let Subject { container, id_image, name_pod, .. } = subject;
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
        let pieces = [&subject.container, &self.own, &subject.id_image, &subject.name_pod, &self.last];
        self.writer.sample_text(self.metric.name, &pieces.map(String::as_str), value, unix_ms);
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
        let Subject { container, id_image, name_pod, .. } = subject;
        // `operation` belongs between `namespace` and `pod`; the order of labels means nothing.
        let pieces: [&str; 6] = [container, &self.own, id_image, &numbers, name_pod, &last];
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
