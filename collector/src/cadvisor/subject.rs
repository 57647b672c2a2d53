//! A group as cAdvisor labels it, and where its values go.

use crate::details::Details;
use crate::disk::mounted::MountedDisk;
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
    at: u32,
    /// Values of the sweep.
    pub reading: Reading,
    /// Values of the slower tier.
    pub details: Arc<Details>,
    /// The interfaces shown with it.
    pub network: Arc<Details>,
    /// Its files.
    pub files: Files,
}

/// What is known of a group's files.
pub enum Files {
    /// Nothing.
    Unknown,
    /// A container's writable layer.
    Layer(Use),
    /// The machine's disks.
    Machine(Vec<MountedDisk>),
}

static NO_DETAILS: LazyLock<Arc<Details>> = LazyLock::new(Arc::default);

/// The groups of a body.
pub struct Subjects {
    /// By path.
    pub all: Vec<Subject>,
    /// Their labels, in the same order.
    pub labels: LabelTexts,
}

/// The common labels of groups as text, with commas between them. One text of all, so that what is written in a row comes
/// from memory in a row.
pub struct LabelTexts {
    text: String,
    /// Where in it those of a group begin, what comes before `id` ends, what comes before `name` ends, and where they end.
    groups: Vec<[usize; 4]>,
}

impl LabelTexts {
    /// All of a group's; empty for a place beyond the last group.
    fn whole(&self, at: u32) -> &str {
        let [start, .., end] = self.place(at);
        self.text.get(start..end).unwrap_or_default()
    }

    /// What comes before `id`; `id` and `image`; and `name`, `namespace` and `pod`.
    fn parts(&self, at: u32) -> [&str; 3] {
        parts(&self.text, self.place(at))
    }

    fn place(&self, at: u32) -> [usize; 4] {
        self.groups.get(at as usize).copied().unwrap_or_default()
    }
}

/// Three pieces of label text that follow one another, without the commas between them.
fn parts(text: &str, [start, first, second, end]: [usize; 4]) -> [&str; 3] {
    let part = |start: usize, end: usize| text.get(start..end).unwrap_or_default().trim_start_matches(',');
    [part(start, first), part(first, second), part(second, end)]
}

impl Subjects {
    /// The machine, its pods and its containers, and the groups above and beside them.
    pub fn of(sweep: &Sweep, disk: &DiskUse, selection: &Selection) -> Subjects {
        // The interfaces of pods whose sandbox is not known, by pod.
        let mut networks: HashMap<&str, &Arc<Details>> = HashMap::new();
        for container in sweep.containers.iter().filter(|container| !container.looks_like_sandbox) {
            if !container.details.network.is_empty() {
                networks.insert(&container.pod_uid, &container.details);
            }
        }
        let mut all = Vec::with_capacity(1 + sweep.system.len() + sweep.pods.len() + sweep.containers.len());
        all.push(Labels::of_node(sweep, disk));
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
                .map(|container| Labels::of_container(container, disk))
                .filter(|labels| selection.keeps(labels.container)),
        );
        all.sort_unstable_by_key(|labels| (labels.id, labels.name));
        let mut labels = LabelTexts { text: String::new(), groups: Vec::with_capacity(all.len()) };
        let mut text = String::new();
        let subjects = (0..).zip(all).map(|(at, of_group)| {
            text.clear();
            let start = labels.text.len();
            let [first, second, end] = of_group.write(selection, &mut text);
            labels.groups.push([start, start + first, start + second, start + end]);
            labels.text.push_str(&text);
            of_group.subject(at)
        });
        Subjects { all: subjects.collect(), labels }
    }
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
    files: Files,
}

impl<'a> Labels<'a> {
    fn new(id: &'a str, reading: &'a Reading, details: &'a Arc<Details>) -> Labels<'a> {
        let (container, image, name, namespace, pod) = ("", "", "", "", "");
        let network = &*NO_DETAILS;
        Labels {
            container,
            id,
            image,
            name,
            namespace,
            pod,
            reading,
            details,
            network,
            files: Files::Unknown,
        }
    }

    fn of_node(sweep: &'a Sweep, disk: &DiskUse) -> Labels<'a> {
        let (details, files) = (&sweep.node_details, Files::Machine(disk.node.disks.clone()));
        Labels { network: details, files, ..Labels::new("/", &sweep.node, details) }
    }

    fn of_pod(pod: &'a PodReading) -> Labels<'a> {
        let labels = Labels::new(&pod.path, &pod.reading, &pod.details);
        match pod.name.as_deref() {
            Some(name) => Labels { namespace: &name.namespace, pod: &name.pod, ..labels },
            None => labels,
        }
    }

    fn of_container(container: &'a ContainerReading, disk: &DiskUse) -> Labels<'a> {
        let details = &container.details;
        let layer = disk.containers.get(&container.id).and_then(|used| used.root);
        let files = layer.map_or(Files::Unknown, Files::Layer);
        let network = if container.looks_like_sandbox { details } else { &*NO_DETAILS };
        let of_group = Labels::new(&container.path, &container.reading, details);
        let labels = Labels { name: &container.id, network, files, ..of_group };
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

    /// Writes them into an empty text; where in it each part ends.
    fn write(&self, selection: &Selection, text: &mut String) -> [usize; 3] {
        let groups: [&[(&str, &str)]; 3] = [
            &[("container", self.container)],
            &[("id", self.id), ("image", self.image)],
            &[("name", self.name), ("namespace", self.namespace), ("pod", self.pod)],
        ];
        groups.map(|group| {
            for (name, value) in group.iter().filter(|(name, _)| !selection.drops(name)) {
                push_label(text, name, value);
            }
            text.len()
        })
    }

    fn subject(self, at: u32) -> Subject {
        Subject {
            at,
            reading: *self.reading,
            details: self.details.clone(),
            network: self.network.clone(),
            files: self.files,
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

/// A value of a group.
pub struct Line {
    /// The group, by its place.
    subject: u32,
    /// The labels that it has beyond the common ones, by their place in the column.
    own: Option<u32>,
    value: Number,
    unix_ms: Option<i64>,
}

/// The values of one family, gathered before they are written.
pub struct Column {
    /// Whose values.
    pub metric: &'static Metric,
    lines: Vec<Line>,
    /// Labels of the family's own, and where in them those of a value begin and those of each [`Place`] end.
    own_text: String,
    own: Vec<[usize; 4]>,
}

impl Column {
    /// Without values.
    pub fn new(metric: &'static Metric) -> Column {
        Column { metric, lines: Vec::new(), own_text: String::new(), own: Vec::new() }
    }

    /// Becomes another family's, without values; its memory is used again.
    pub fn clear(&mut self, metric: &'static Metric) {
        self.metric = metric;
        self.lines.clear();
        self.own_text.clear();
        self.own.clear();
    }

    /// Values.
    pub fn count(&self) -> usize {
        self.lines.len()
    }

    /// Writes values from a place on until so much is written; the place of the next one.
    pub fn write(&self, writer: &mut Writer, labels: &LabelTexts, from: usize, bytes: usize) -> usize {
        let Metric { name, help, kind, unit, .. } = *self.metric;
        if from == 0 && !self.lines.is_empty() {
            writer.family(name, help, kind, unit);
        }
        let mut at = from;
        for line in self.lines.get(from..).unwrap_or_default() {
            at += 1;
            match line.own.and_then(|own| self.own.get(own as usize)) {
                None => writer.sample_text(name, &[labels.whole(line.subject)], line.value, line.unix_ms),
                Some(own) => {
                    let [container, id_image, name_pod] = labels.parts(line.subject);
                    let [before_id, before_name, last] = parts(&self.own_text, *own);
                    let labels = [container, before_id, id_image, before_name, name_pod, last];
                    writer.sample_text(name, &labels, line.value, line.unix_ms);
                }
            }
            if writer.written() >= bytes {
                break;
            }
        }
        at
    }

    fn put(
        &mut self,
        subject: u32,
        own: &[(Place, (&str, &str))],
        value: Option<Number>,
        unix_ms: Option<i64>,
    ) {
        let Some(value) = value else { return };
        let own = match own {
            [] => None,
            own => {
                let start = self.own_text.len();
                let [first, second, end] = [Place::BeforeId, Place::BeforeName, Place::Last].map(|place| {
                    for (_, (name, value)) in own.iter().filter(|(of, _)| *of == place) {
                        push_label(&mut self.own_text, name, value);
                    }
                    self.own_text.len()
                });
                self.own.push([start, first, second, end]);
                u32::try_from(self.own.len() - 1).ok()
            }
        };
        self.lines.push(Line { subject, own, value, unix_ms });
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
        self.column.put(subject.at, &[], value, unix_ms);
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
        self.column.put(subject.at, &[(place, label)], value, unix_ms);
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
        self.column.put(subject.at, &[(Place::BeforeId, first), (Place::Last, last)], value, unix_ms);
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
        self.column.put(subject.at, &own, value, unix_ms);
    }

    /// The name under which a device is shown: `/dev/…` as the kernel names it, else its numbers.
    pub fn device(&self, device: (u32, u32)) -> String {
        match self.devices.get(&device) {
            Some(name) => format!("/dev/{name}"),
            None => format!("{}:{}", device.0, device.1),
        }
    }
}
