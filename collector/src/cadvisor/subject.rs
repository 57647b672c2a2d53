//! A group as cAdvisor labels it, and where its values go.

use crate::details::Details;
use crate::disk::{DiskUse, Use};
use crate::sample::{ContainerReading, PodReading, Reading, Sweep};
use crate::selection::Selection;
use crate::table::Metric;
use flyball_model::exposition::{Number, Writer, push_label};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

/// A group whose values are written. It has what it needs of its sweep and does not hold it.
pub struct Subject {
    /// Its place among all.
    at: usize,
    /// Values of the sweep.
    pub reading: Reading,
    /// Values of the slower tier.
    pub details: Arc<Details>,
    /// The interfaces shown with it.
    pub network: Arc<Details>,
    /// What its writable layer takes.
    pub disk: Option<Use>,
    /// The common labels as text, with commas between them.
    labels: String,
    /// Where in it what comes before `id` ends, and what comes before `name`.
    ends: [usize; 2],
}

static NO_DETAILS: LazyLock<Arc<Details>> = LazyLock::new(Arc::default);

impl Subject {
    /// The machine, its pods and its containers, and the groups above and beside them; by path.
    pub fn all(sweep: &Sweep, disk: &DiskUse, selection: &Selection) -> Vec<Subject> {
        // The interfaces of pods whose sandbox is not known, by pod.
        let mut networks: HashMap<&str, &Arc<Details>> = HashMap::new();
        for container in sweep.containers.iter().filter(|container| !container.looks_like_sandbox) {
            if !container.details.network.is_empty() {
                networks.insert(&container.pod_uid, &container.details);
            }
        }
        let mut all = Vec::with_capacity(1 + sweep.system.len() + sweep.pods.len() + sweep.containers.len());
        all.push(Labels::of_node(sweep));
        all.extend(
            sweep
                .system
                .iter()
                .filter(|_| selection.keeps(""))
                .map(|system| Labels::new(&system.path, &system.reading, &system.details)),
        );
        all.extend(
            sweep
                .pods
                .iter()
                .map(|pod| {
                    let network = networks.get(&*pod.uid).copied().unwrap_or(&NO_DETAILS);
                    Labels { network, ..Labels::of_pod(pod) }
                })
                .filter(|labels| selection.keeps(labels.pod)),
        );
        all.extend(
            sweep
                .containers
                .iter()
                .map(|container| {
                    let disk = disk.containers.get(&container.id).and_then(|used| used.root);
                    Labels { disk, ..Labels::of_container(container) }
                })
                .filter(|labels| selection.keeps(labels.container)),
        );
        all.sort_unstable_by_key(|labels| (labels.id, labels.name));
        all.iter().enumerate().map(|(at, labels)| labels.subject(at, selection)).collect()
    }

    /// What comes before `id`; `id` and `image`; and `name`, `namespace` and `pod`.
    fn parts(&self) -> [&str; 3] {
        parts(&self.labels, 0, [self.ends[0], self.ends[1], self.labels.len()])
    }
}

/// Three pieces of label text that follow one another, without the commas between them.
fn parts(text: &str, start: usize, ends: [usize; 3]) -> [&str; 3] {
    let part = |start: usize, end: usize| text.get(start..end).unwrap_or_default().trim_start_matches(',');
    [part(start, ends[0]), part(ends[0], ends[1]), part(ends[1], ends[2])]
}

/// A group of a sweep and the values of its labels.
struct Labels<'a> {
    container: &'a str,
    id: &'a str,
    image: &'a str,
    name: &'a str,
    namespace: &'a str,
    pod: &'a str,
    reading: &'a Reading,
    details: &'a Arc<Details>,
    network: &'a Arc<Details>,
    disk: Option<Use>,
}

impl<'a> Labels<'a> {
    fn new(id: &'a str, reading: &'a Reading, details: &'a Arc<Details>) -> Labels<'a> {
        let (container, image, name, namespace, pod) = ("", "", "", "", "");
        let network = &*NO_DETAILS;
        Labels { container, id, image, name, namespace, pod, reading, details, network, disk: None }
    }

    fn of_node(sweep: &'a Sweep) -> Labels<'a> {
        let details = &sweep.node_details;
        Labels { network: details, ..Labels::new("/", &sweep.node, details) }
    }

    fn of_pod(pod: &'a PodReading) -> Labels<'a> {
        let labels = Labels::new(&pod.path, &pod.reading, &pod.details);
        match pod.name.as_deref() {
            Some(name) => Labels { namespace: &name.namespace, pod: &name.pod, ..labels },
            None => labels,
        }
    }

    fn of_container(container: &'a ContainerReading) -> Labels<'a> {
        let details = &container.details;
        let network = if container.looks_like_sandbox { details } else { &*NO_DETAILS };
        let of_group = Labels::new(&container.path, &container.reading, details);
        let labels = Labels { name: &container.id, network, ..of_group };
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

    fn subject(&self, at: usize, selection: &Selection) -> Subject {
        let groups: [&[(&str, &str)]; 3] = [
            &[("container", self.container)],
            &[("id", self.id), ("image", self.image)],
            &[("name", self.name), ("namespace", self.namespace), ("pod", self.pod)],
        ];
        let room =
            groups.iter().flat_map(|group| group.iter()).map(|(name, value)| name.len() + value.len() + 4);
        let mut labels = String::with_capacity(room.sum());
        let ends = groups.map(|group| {
            for (name, value) in group.iter().filter(|(name, _)| !selection.drops(name)) {
                push_label(&mut labels, name, value);
            }
            labels.len()
        });
        Subject {
            at,
            reading: *self.reading,
            details: self.details.clone(),
            network: self.network.clone(),
            disk: self.disk,
            labels,
            ends: [ends[0], ends[1]],
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

/// Names of block devices by major and minor number.
pub type Devices = HashMap<(u32, u32), Arc<str>>;

/// A value of a group, and the labels that it has beyond the common ones.
pub struct Line {
    /// The group, by its place.
    subject: usize,
    /// Where in the column's text its own labels begin, and where those of each [`Place`] end.
    start: usize,
    ends: [usize; 3],
    value: Number,
    unix_ms: Option<i64>,
}

/// The values of one family, gathered before they are written.
pub struct Column {
    /// Whose values.
    pub metric: &'static Metric,
    lines: Vec<Line>,
    /// Labels of the family's own.
    own: String,
}

impl Column {
    /// Without values.
    pub fn new(metric: &'static Metric) -> Column {
        Column { metric, lines: Vec::new(), own: String::new() }
    }

    /// Becomes another family's, without values; its memory is used again.
    pub fn clear(&mut self, metric: &'static Metric) {
        self.metric = metric;
        self.lines.clear();
        self.own.clear();
    }

    /// Values.
    pub fn count(&self) -> usize {
        self.lines.len()
    }

    /// Writes values from a place on until so much is written; the place of the next one.
    pub fn write(&self, writer: &mut Writer, subjects: &[Subject], from: usize, bytes: usize) -> usize {
        let Metric { name, help, kind, unit, .. } = *self.metric;
        if from == 0 && !self.lines.is_empty() {
            writer.family(name, help, kind, unit);
        }
        let mut at = from;
        for line in self.lines.get(from..).unwrap_or_default() {
            at += 1;
            let Some(subject) = subjects.get(line.subject) else { continue };
            if line.start == line.ends[2] {
                writer.sample_text(name, &[&subject.labels], line.value, line.unix_ms);
            } else {
                let [container, id_image, name_pod] = subject.parts();
                let [before_id, before_name, last] = parts(&self.own, line.start, line.ends);
                let labels = [container, before_id, id_image, before_name, name_pod, last];
                writer.sample_text(name, &labels, line.value, line.unix_ms);
            }
            if writer.written() >= bytes {
                break;
            }
        }
        at
    }
}

/// Receives the values of one family.
pub struct Sink<'a> {
    column: &'a mut Column,
    devices: &'a Devices,
}

impl<'a> Sink<'a> {
    /// Of this column.
    pub fn new(column: &'a mut Column, devices: &'a Devices) -> Sink<'a> {
        Sink { column, devices }
    }

    /// A value without labels of its own. Nothing is written for an absent one.
    pub fn put(&mut self, subject: &Subject, value: Option<Number>, unix_ms: Option<i64>) {
        self.put_with(subject, &[], value, unix_ms);
    }

    /// A value with one label of its own.
    pub fn put_labelled(
        &mut self,
        subject: &Subject,
        place: Place,
        label: (&str, &str),
        value: Option<Number>,
        unix_ms: Option<i64>,
    ) {
        self.put_with(subject, &[(place, label)], value, unix_ms);
    }

    /// A value with a label before `id` and one after `pod`.
    pub fn put_framed(
        &mut self,
        subject: &Subject,
        first: (&str, &str),
        last: (&str, &str),
        value: Option<Number>,
        unix_ms: Option<i64>,
    ) {
        self.put_with(subject, &[(Place::BeforeId, first), (Place::Last, last)], value, unix_ms);
    }

    /// A value of a block device, labelled as blkio's are.
    pub fn put_block_device(
        &mut self,
        subject: &Subject,
        device: (u32, u32),
        operation: &str,
        value: Option<Number>,
        unix_ms: Option<i64>,
    ) {
        let (name, major, minor) = (self.device(device), device.0.to_string(), device.1.to_string());
        let own = [
            (Place::BeforeId, ("device", name.as_str())),
            (Place::BeforeName, ("major", major.as_str())),
            (Place::BeforeName, ("minor", minor.as_str())),
            // It belongs between `namespace` and `pod`; the order of labels means nothing.
            (Place::Last, ("operation", operation)),
        ];
        self.put_with(subject, &own, value, unix_ms);
    }

    /// `own`: labels by place.
    fn put_with(
        &mut self,
        subject: &Subject,
        own: &[(Place, (&str, &str))],
        value: Option<Number>,
        unix_ms: Option<i64>,
    ) {
        let Some(value) = value else { return };
        let Column { lines, own: text, .. } = &mut *self.column;
        let start = text.len();
        let mut ends = [start; 3];
        if !own.is_empty() {
            ends = [Place::BeforeId, Place::BeforeName, Place::Last].map(|place| {
                for (_, (name, value)) in own.iter().filter(|(of, _)| *of == place) {
                    push_label(text, name, value);
                }
                text.len()
            });
        }
        lines.push(Line { subject: subject.at, start, ends, value, unix_ms });
    }

    /// The name under which a device is shown: `/dev/…` as the kernel names it, else its numbers.
    pub fn device(&self, device: (u32, u32)) -> String {
        match self.devices.get(&device) {
            Some(name) => format!("/dev/{name}"),
            None => format!("{}:{}", device.0, device.1),
        }
    }
}
