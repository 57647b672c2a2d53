//! Which form an answer takes: encoding (JSON, YAML), view (Table, metadata only, aggregated discovery),
//! indentation and compression, as upstream's `endpoints/handlers/negotiation` decides them.
//!
//! Protobuf is offered by endpoints that can write it ([`Offer::with_protobuf`]). Elsewhere a client that prefers it
//! and also accepts something else gets that.

use http::{HeaderMap, header};

use crate::query::Query;
use crate::status::Status;

/// How an object is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Encoding {
    /// `application/json`.
    Json,
    /// `application/yaml`.
    Yaml,
    /// `application/vnd.kubernetes.protobuf`; chosen only where it was offered.
    Protobuf,
}

impl Encoding {
    /// The media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Yaml => "application/yaml",
            Self::Protobuf => crate::protobuf::MEDIA_TYPE,
        }
    }
}

/// Version of the `meta.k8s.io` group a view is asked in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetaVersion {
    /// `meta.k8s.io/v1`.
    V1,
    /// `meta.k8s.io/v1beta1`, same shape.
    V1beta1,
}

impl MetaVersion {
    /// `meta.k8s.io/v1` or `meta.k8s.io/v1beta1`.
    pub fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "meta.k8s.io/v1",
            Self::V1beta1 => "meta.k8s.io/v1beta1",
        }
    }
}

/// Which projection of the object was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// The object itself.
    Object,
    /// `as=Table`.
    Table(MetaVersion),
    /// `as=PartialObjectMetadata`.
    PartialObjectMetadata(MetaVersion),
    /// `as=PartialObjectMetadataList`.
    PartialObjectMetadataList(MetaVersion),
    /// `as=APIGroupDiscoveryList;v=v2;g=apidiscovery.k8s.io`.
    AggregatedDiscovery,
}

/// The views an endpoint has besides the object itself. A clause asking for another view is skipped, which is
/// how clients' fall-back lists work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    table: bool,
    partial: bool,
    discovery: bool,
    protobuf: bool,
    yaml: bool,
    /// Whether `application/*` stands for one of the types.
    subtypes: bool,
    /// Whether the refusal of all types lists those of watches too.
    streams: bool,
}

impl Offer {
    /// The object only.
    pub const OBJECT: Self = Self {
        table: false,
        partial: false,
        discovery: false,
        protobuf: false,
        yaml: true,
        subtypes: true,
        streams: true,
    };
    /// Resources: Table and the two metadata views. Asking for `PartialObjectMetadata` on a list is negotiated
    /// here and refused by [`refuse_partial_of_list`].
    pub const RESOURCE: Self = Self { table: true, partial: true, ..Self::OBJECT };
    /// Documents of discovery.
    pub(crate) const SINGLE_DISCOVERY: Self = Self::OBJECT.with_protobuf().routed(false);
    /// `/api` and `/apis`.
    pub const DISCOVERY: Self = Self { discovery: true, ..Self::SINGLE_DISCOVERY };
    /// `/version`.
    pub(crate) const JSON_ONLY: Self = Self { yaml: false, ..Self::OBJECT.routed(false) };
}

impl Offer {
    /// The same in protobuf too. Whoever offers it writes it: see [`Accepted::write_bytes`].
    #[must_use]
    pub const fn with_protobuf(mut self) -> Self {
        self.protobuf = true;
        self
    }

    /// The same for the events of a watch, which do not exist as YAML.
    #[must_use]
    pub const fn as_events(mut self) -> Self {
        self.yaml = false;
        self
    }

    /// The same behind upstream's router, which knows neither `application/*` nor `*` and looks at requests first. A
    /// collection's watches are among what it lists.
    #[must_use]
    pub const fn routed(mut self, collection: bool) -> Self {
        self.subtypes = false;
        self.streams = collection;
        self
    }

    fn media_types(self) -> Vec<&'static str> {
        let offered =
            [(true, Encoding::Json), (self.yaml, Encoding::Yaml), (self.protobuf, Encoding::Protobuf)];
        offered.into_iter().filter(|(is, _)| *is).map(|(_, encoding)| encoding.media_type()).collect()
    }
}

/// The chosen form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// How to write.
    pub encoding: Encoding,
    /// What to write.
    pub view: View,
    /// Whether JSON is indented.
    pub pretty: bool,
    /// Whether the client takes gzip.
    pub gzip: bool,
}

/// 406 of a known media type with a view the endpoint does not have.
fn unknown_view(offer: Offer) -> Status {
    let types = offer.media_types().join(", ");
    Status::not_acceptable(format!("only the following media types are accepted: {types}"))
}

/// 406 of an unknown media type: upstream lists the representations incl. the streaming ones.
fn unknown_type(offer: Offer) -> Status {
    let types = offer.media_types();
    let streamed = offer.as_events().media_types();
    let streams = streamed.iter().filter(|_| offer.streams).map(|name| format!("{name};stream=watch"));
    let all: Vec<String> = types.iter().map(|name| (*name).to_owned()).chain(streams).collect();
    Status::not_acceptable(format!("406: Not Acceptable\n\nAvailable representations: {}", all.join(", ")))
        .with_details(Default::default())
}

/// Chooses the form for a request.
///
/// # Errors
/// 406 when no clause of `Accept` can be met.
pub fn negotiate(headers: &HeaderMap, query: &Query, offer: Offer) -> Result<Accepted, Status> {
    let gzip = accepts_gzip(headers);
    let text = accept_text(headers);
    if text.is_empty() {
        let pretty = is_pretty(headers, query, false);
        return Ok(Accepted { encoding: Encoding::Json, view: View::Object, pretty, gzip });
    }
    let clauses = parse_accept(&text);
    for clause in &clauses {
        let Some(encoding) = clause.encoding(offer) else { continue };
        let Some(view) = clause.view(offer) else { continue };
        let pretty = encoding == Encoding::Json && is_pretty(headers, query, clause.is("pretty", "1"));
        return Ok(Accepted { encoding, view, pretty, gzip });
    }
    let known = clauses.iter().any(|clause| clause.encoding(offer).is_some());
    Err(if known { unknown_view(offer) } else { unknown_type(offer) })
}

/// Whether the client takes one of the offered types, whatever view of it it asks for: all that upstream's router looks at.
///
/// # Errors
/// 406 when it takes none.
pub(crate) fn check_type(headers: &HeaderMap, offer: Offer) -> Result<(), Status> {
    let text = accept_text(headers);
    let taken = text.is_empty() || parse_accept(&text).iter().any(|clause| clause.encoding(offer).is_some());
    if taken { Ok(()) } else { Err(unknown_type(offer)) }
}

/// Whether a clause of `Accept` names exactly this media type.
pub fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    parse_accept(&accept_text(headers)).iter().any(|clause| clause.media_type == media_type)
}

/// 406 for `as=PartialObjectMetadata` on a list. `list_type` names the list as the message shows it.
pub fn refuse_partial_of_list(list_type: &str) -> Status {
    Status::not_acceptable(format!(
        "you requested PartialObjectMetadata, but the requested object is a list ({list_type})"
    ))
}

fn accept_text(headers: &HeaderMap) -> String {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    values.collect::<Vec<_>>().join(",").trim().to_owned()
}

/// `?pretty` decides when present; then the Accept parameter; then browsers and command line tools get
/// indented JSON.
fn is_pretty(headers: &HeaderMap, query: &Query, by_parameter: bool) -> bool {
    if let Some(value) = query.first("pretty") {
        return ["1", "t", "true"].contains(&value.to_ascii_lowercase().as_str());
    }
    let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or("");
    by_parameter || ["curl", "Wget", "Mozilla/5.0"].iter().any(|prefix| agent.starts_with(prefix))
}

/// A plain token comparison, as upstream: `gzip;q=0` and `*` do not count.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|token| token.trim() == "gzip")
}

/// One clause of `Accept`.
#[derive(Debug)]
struct Clause<'a> {
    media_type: String,
    parameters: Vec<(&'a str, &'a str)>,
    q: f32,
}

impl Clause<'_> {
    fn parameter(&self, name: &str) -> &str {
        self.parameters.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value)
    }

    fn is(&self, name: &str, value: &str) -> bool {
        self.parameter(name) == value
    }

    fn encoding(&self, offer: Offer) -> Option<Encoding> {
        match self.media_type.as_str() {
            crate::protobuf::MEDIA_TYPE if offer.protobuf => Some(Encoding::Protobuf),
            "application/*" | "*" if !offer.subtypes => None,
            "application/json" | "application/*" | "*/*" | "*" => Some(Encoding::Json),
            "application/yaml" if offer.yaml => Some(Encoding::Yaml),
            _ => None,
        }
    }

    /// The view of the clause if the endpoint offers it. `stream` and `sv` are checked here too: a clause with
    /// values we do not serve is skipped as a whole.
    fn view(&self, offer: Offer) -> Option<View> {
        if !["", "watch"].contains(&self.parameter("stream")) || !self.is("sv", "") {
            return None;
        }
        let (kind, group, version) = (self.parameter("as"), self.parameter("g"), self.parameter("v"));
        let meta = || match (group, version) {
            ("meta.k8s.io", "v1") => Some(MetaVersion::V1),
            ("meta.k8s.io", "v1beta1") => Some(MetaVersion::V1beta1),
            _ => None,
        };
        match kind {
            "" if group.is_empty() && version.is_empty() => Some(View::Object),
            // Tables exist as text only.
            "Table" if self.media_type == crate::protobuf::MEDIA_TYPE => None,
            "Table" if offer.table => meta().map(View::Table),
            "PartialObjectMetadata" if offer.partial => meta().map(View::PartialObjectMetadata),
            "PartialObjectMetadataList" if offer.partial => meta().map(View::PartialObjectMetadataList),
            "APIGroupDiscoveryList"
                if offer.discovery && group == "apidiscovery.k8s.io" && version == "v2" =>
            {
                Some(View::AggregatedDiscovery)
            }
            _ => None,
        }
    }

    /// How specific the type is: more specific clauses go first among equal q.
    fn specificity(&self) -> u8 {
        match self.media_type.as_str() {
            "*/*" | "*" => 0,
            other if other.ends_with("/*") => 1,
            _ => 2,
        }
    }
}

/// The clauses in order of preference: by q, then by specificity, else as written. `q=0`, which should mean "not this", is
/// to upstream what is liked least, and is served.
fn parse_accept(text: &str) -> Vec<Clause<'_>> {
    let mut clauses: Vec<Clause<'_>> = text.split(',').filter_map(parse_clause).collect();
    clauses.sort_by(|a, b| b.q.total_cmp(&a.q).then(b.specificity().cmp(&a.specificity())));
    clauses
}

fn parse_clause(text: &str) -> Option<Clause<'_>> {
    let mut pieces = text.split(';').map(str::trim);
    let media_type = pieces.next().filter(|media_type| !media_type.is_empty())?.to_ascii_lowercase();
    let mut clause = Clause { media_type, parameters: Vec::new(), q: 1.0 };
    for piece in pieces {
        let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
        let value = value.trim().trim_matches('"');
        match name.trim() {
            "q" => clause.q = value.parse().unwrap_or(1.0),
            name => clause.parameters.push((name, value)),
        }
    }
    Some(clause)
}

#[cfg(test)]
mod tests;
