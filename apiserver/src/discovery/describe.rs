//! Descriptors: what a server says it serves. The documents are derived from them.

/// An API group. The core group has an empty name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Name, for example `metrics.k8s.io`.
    pub name: String,
    /// Versions, the preferred one first.
    pub versions: Vec<Version>,
}

impl Group {
    /// A group with these versions, the preferred one first.
    pub fn new(name: impl Into<String>, versions: impl IntoIterator<Item = Version>) -> Self {
        Self { name: name.into(), versions: versions.into_iter().collect() }
    }

    /// `group/version`, or the version alone for the core group.
    pub fn group_version(&self, version: &Version) -> String {
        if self.name.is_empty() {
            version.version.clone()
        } else {
            format!("{}/{}", self.name, version.version)
        }
    }

    /// `apis/<group>/<version>`, or `api/<version>` for the core group; also the key in OpenAPI's index.
    pub fn path(&self, version: &Version) -> String {
        let root = if self.name.is_empty() { "api" } else { "apis" };
        format!("{root}/{}", self.group_version(version))
    }
}

/// One version of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Name, for example `v1beta1`.
    pub version: String,
    /// Resources in the order in which they are listed.
    pub resources: Vec<Resource>,
}

impl Version {
    /// A version with these resources.
    pub fn new(version: impl Into<String>, resources: impl IntoIterator<Item = Resource>) -> Self {
        Self { version: version.into(), resources: resources.into_iter().collect() }
    }
}

/// A resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resource {
    /// Plural name, as in URLs.
    pub name: String,
    /// Singular name; may be empty.
    pub singular: String,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// Kind of its objects.
    pub kind: String,
    /// Verbs it takes.
    pub verbs: Vec<String>,
    /// Short names, for example `po`.
    pub short_names: Vec<String>,
    /// Categories, for example `all`.
    pub categories: Vec<String>,
    /// Subresources.
    pub subresources: Vec<Subresource>,
}

impl Resource {
    /// A resource without singular, short names, categories and subresources; set those fields if there are any.
    pub fn new(name: &str, kind: &str, namespaced: bool, verbs: &[&str]) -> Self {
        let verbs = verbs.iter().map(|verb| (*verb).to_owned()).collect();
        Self { name: name.into(), kind: kind.into(), namespaced, verbs, ..Self::default() }
    }
}

/// A subresource. Group and version are those of its kind, which may live elsewhere (`autoscaling/v1` `Scale`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subresource {
    /// Name, for example `scale`.
    pub name: String,
    /// Group of the kind; empty for the core group.
    pub group: String,
    /// Version of the kind; empty when kind and resource share group and version.
    pub version: String,
    /// Kind of the objects it takes and returns.
    pub kind: String,
    /// Verbs it takes.
    pub verbs: Vec<String>,
}

impl Subresource {
    /// A subresource whose kind is in the resource's own group and version.
    pub fn new(name: &str, kind: &str, verbs: &[&str]) -> Self {
        let verbs = verbs.iter().map(|verb| (*verb).to_owned()).collect();
        Self { name: name.into(), kind: kind.into(), verbs, ..Self::default() }
    }

    /// The same with its kind in another group and version.
    pub fn of_group(mut self, group: &str, version: &str) -> Self {
        (self.group, self.version) = (group.into(), version.into());
        self
    }
}
