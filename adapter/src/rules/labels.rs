//! Labels that name objects: from label to resource and back.

use std::collections::BTreeSet;
use std::sync::Arc;

use regex::Regex;

use super::expression;
use crate::config::{ConfigError, ResourceMapping};
use crate::kinds::{GroupResource, Kinds, label_group};
use crate::template::{Template, Value};

/// How the labels of a rule's series name objects.
#[derive(Debug, Clone)]
pub(crate) struct LabelMap {
    /// By label.
    overrides: Vec<(String, GroupResource)>,
    generic: Option<Generic>,
    kinds: Arc<Kinds>,
}

/// `resources.template`
#[derive(Debug, Clone)]
struct Generic {
    template: Template,
    /// The template turned round: finds `resource` and maybe `group` in a label.
    inverse: Regex,
    /// Labels that the template makes and its inverse does not lead back from.
    known: Vec<(String, GroupResource)>,
}

/// What a label stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelMeaning {
    /// Objects of this resource.
    Resource(GroupResource),
    /// It has the template's form, but the cluster has no such resource.
    UnknownResource(GroupResource),
    /// Not an object.
    Other,
}

impl LabelMap {
    /// Checks a mapping.
    pub fn compile(mapping: &ResourceMapping, kinds: &Arc<Kinds>) -> Result<LabelMap, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let mut overrides = Vec::new();
        for (label, target) in &mapping.overrides {
            match kinds.find(&target.group, &target.resource) {
                Some(kind) => overrides.push((label.clone(), kind.group_resource())),
                None => errors.push(ConfigError {
                    line: target.line,
                    message: format!(
                        "resources.overrides.{label}: the cluster has no resource {:?}",
                        GroupResource::new(&target.group, &target.resource).to_string()
                    ),
                }),
            }
        }
        let generic = match mapping.template.value.as_str() {
            "" => None,
            text => Generic::compile(text, kinds)
                .map_err(|reason| {
                    let message = format!("resources.template: {reason}");
                    errors.push(ConfigError { line: mapping.template.line, message });
                })
                .ok(),
        };
        if errors.is_empty() {
            Ok(LabelMap { overrides, generic, kinds: kinds.clone() })
        } else {
            Err(errors)
        }
    }

    /// Of labels that are known to name objects.
    pub fn of(overrides: Vec<(String, GroupResource)>, kinds: &Arc<Kinds>) -> LabelMap {
        LabelMap { overrides, generic: None, kinds: kinds.clone() }
    }

    /// What a label stands for.
    pub fn meaning(&self, label: &str) -> LabelMeaning {
        if let Some((_, resource)) = self.overrides.iter().find(|(have, _)| have == label) {
            return LabelMeaning::Resource(resource.clone());
        }
        let Some(generic) = &self.generic else { return LabelMeaning::Other };
        if let Some((_, resource)) = generic.known.iter().find(|(have, _)| have == label) {
            return LabelMeaning::Resource(resource.clone());
        }
        let Some(captures) = generic.inverse.captures(label) else { return LabelMeaning::Other };
        let part = |name: &str| captures.name(name).map_or("", |part| part.as_str());
        let found = GroupResource::new(part("group"), part("resource"));
        match self.kinds.of(&found) {
            Some(kind) => LabelMeaning::Resource(kind.group_resource()),
            None => LabelMeaning::UnknownResource(found),
        }
    }

    /// The resources that these labels name, sorted, and whether the objects are in namespaces.
    ///
    /// As upstream, a label that names no object at all makes the series one of a namespace.
    pub fn resources(&self, labels: &BTreeSet<String>) -> (BTreeSet<GroupResource>, bool) {
        let mut resources = BTreeSet::new();
        let mut namespaced = false;
        for label in labels {
            match self.meaning(label) {
                LabelMeaning::Resource(resource) => {
                    namespaced |= !self.is_root(&resource);
                    resources.insert(resource);
                }
                LabelMeaning::UnknownResource(_) => {}
                LabelMeaning::Other => namespaced = true,
            }
        }
        (resources, namespaced)
    }

    /// Whether objects of this resource are outside of namespaces.
    pub fn is_root(&self, resource: &GroupResource) -> bool {
        self.kinds.of(resource).is_some_and(|kind| !kind.namespaced)
    }

    /// The label that names objects of a resource: among several, one that the series has.
    pub fn label_for(&self, resource: &GroupResource, labels: &BTreeSet<String>) -> Result<String, String> {
        let mut overrides =
            self.overrides.iter().filter(|(_, have)| have == resource).map(|(label, _)| label);
        let first = overrides.clone().next();
        if let Some(label) = overrides.find(|label| labels.contains(*label)).or(first) {
            return Ok(label.clone());
        }
        let Some(generic) = &self.generic else {
            return Err(format!(
                "no label names {resource}: resources has neither an override nor a template for it"
            ));
        };
        let singular =
            self.kinds.of(resource).map_or(resource.resource.as_str(), |kind| kind.singular.as_str());
        generic.label(&resource.group, singular)
    }
}

impl Generic {
    fn compile(text: &str, kinds: &Kinds) -> Result<Generic, String> {
        let template = Template::parse(text).map_err(|error| error.to_string())?;
        let form = render(&template, "(?P<group>.+?)", "(?P<resource>.+?)")?;
        if form.is_empty() {
            return Err("it makes an empty label".into());
        }
        let inverse = expression::compile(&format!("^{form}$"))?;
        if !inverse.capture_names().flatten().any(|name| name == "resource") {
            return Err("it must have <<.Resource>> in it".into());
        }
        let known = known_labels(&template, kinds);
        Ok(Generic { template, inverse, known })
    }

    fn label(&self, group: &str, singular: &str) -> Result<String, String> {
        let label = render(&self.template, &label_group(group), singular)?;
        if label.is_empty() { Err("resources.template makes an empty label".into()) } else { Ok(label) }
    }
}

/// The label of namespaces, which upstream knows in whatever form from the first query on, for that asks for it; and those of
/// groups with dots, whose underscores an inverse takes for the end of the group.
fn known_labels(template: &Template, kinds: &Kinds) -> Vec<(String, GroupResource)> {
    let label = |group: &str, singular: &str| {
        render(template, group, singular).ok().filter(|label| !label.is_empty())
    };
    let namespaces = label("", "namespace").map(|label| (label, GroupResource::new("", "namespaces")));
    let dotted = kinds.iter().filter(|kind| label_group(&kind.group) != kind.group).filter_map(|kind| {
        let with_group = label(&label_group(&kind.group), &kind.singular)?;
        (Some(&with_group) != label("", &kind.singular).as_ref()).then(|| (with_group, kind.group_resource()))
    });
    namespaces.into_iter().chain(dotted).collect()
}

fn render(template: &Template, group: &str, resource: &str) -> Result<String, String> {
    let text = if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") };
    let fields = vec![
        ("Group", Value::text(group)),
        ("Resource", Value::text(resource)),
        // Methods of Go's type, which a template can ask for as it asks for fields.
        ("String", Value::text(text.as_str())),
        ("Empty", Value::Bool(group.is_empty() && resource.is_empty())),
    ];
    let root = Value::Named(text, fields);
    template.render(&root).map_err(|error| error.to_string())
}
