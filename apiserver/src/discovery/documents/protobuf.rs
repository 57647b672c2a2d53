//! The same documents in protobuf: `meta.k8s.io/v1` and `apidiscovery.k8s.io/v2`, byte for byte as upstream writes them.

use super::*;
use crate::protobuf::{Message, document, list_meta, object_meta};

/// An object of discovery with its envelope.
pub(in crate::discovery) trait ToProtobuf: Serialize {
    /// The document.
    fn to_protobuf(&self) -> Vec<u8>;
}

impl ToProtobuf for ApiVersions {
    fn to_protobuf(&self) -> Vec<u8> {
        let message = texts(Message::new(), 1, &self.versions).messages(2, addresses_of(&self.addresses));
        document("", self.kind, &message)
    }
}

impl ToProtobuf for ApiGroupList {
    fn to_protobuf(&self) -> Vec<u8> {
        document("", self.kind, &Message::new().messages(1, self.groups.iter().map(ApiGroup::message)))
    }
}

impl ToProtobuf for ApiGroup {
    fn to_protobuf(&self) -> Vec<u8> {
        document(self.api_version.unwrap_or(""), self.kind.unwrap_or(""), &self.message())
    }
}

impl ApiGroup {
    fn message(&self) -> Message {
        let preferred = self
            .preferred_version
            .as_ref()
            .map_or_else(|| Message::new().bytes(1, "").bytes(2, ""), GroupVersion::message);
        Message::new()
            .bytes(1, &self.name)
            .messages(2, self.versions.iter().map(GroupVersion::message))
            .message(3, &preferred)
            .messages(4, addresses_of(self.addresses.as_deref().unwrap_or_default()))
    }
}

impl GroupVersion {
    fn message(&self) -> Message {
        Message::new().bytes(1, &self.group_version).bytes(2, &self.version)
    }
}

impl ToProtobuf for ApiResourceList {
    fn to_protobuf(&self) -> Vec<u8> {
        let message = Message::new()
            .bytes(1, &self.group_version)
            .messages(2, self.resources.iter().map(ApiResource::message));
        document(self.api_version, self.kind, &message)
    }
}

impl ApiResource {
    fn message(&self) -> Message {
        let message = Message::new()
            .bytes(1, &self.name)
            .int(2, self.namespaced.into())
            .bytes(3, &self.kind)
            .message(4, &texts(Message::new(), 1, &self.verbs));
        let message = texts(message, 5, &self.short_names).bytes(6, &self.singular_name);
        // The last is the hash of a storage version, which nothing here has.
        texts(message, 7, &self.categories).bytes(8, &self.group).bytes(9, &self.version).bytes(10, "")
    }
}

impl ToProtobuf for DiscoveryList {
    fn to_protobuf(&self) -> Vec<u8> {
        let message = Message::new()
            .message(1, &list_meta())
            .messages(2, self.items.iter().map(GroupDiscovery::message));
        document(self.api_version, self.kind, &message)
    }
}

impl GroupDiscovery {
    fn message(&self) -> Message {
        let metadata = object_meta(&self.metadata.name, "", "", None, &Default::default());
        Message::new().message(1, &metadata).messages(2, self.versions.iter().map(VersionDiscovery::message))
    }
}

impl VersionDiscovery {
    fn message(&self) -> Message {
        Message::new()
            .bytes(1, &self.version)
            .messages(2, self.resources.iter().map(ResourceDiscovery::message))
            .bytes(3, self.freshness)
    }
}

impl ResourceDiscovery {
    fn message(&self) -> Message {
        let message = Message::new()
            .bytes(1, &self.resource)
            .message(2, &self.response_kind.message())
            .bytes(3, self.scope)
            .bytes(4, &self.singular_resource);
        let message = texts(texts(message, 5, &self.verbs), 6, &self.short_names);
        texts(message, 7, &self.categories)
            .messages(8, self.subresources.iter().map(SubresourceDiscovery::message))
    }
}

impl SubresourceDiscovery {
    fn message(&self) -> Message {
        let message = Message::new().bytes(1, &self.subresource).message(2, &self.response_kind.message());
        texts(message, 4, &self.verbs)
    }
}

impl Kind {
    fn message(&self) -> Message {
        Message::new().bytes(1, &self.group).bytes(2, &self.version).bytes(3, &self.kind)
    }
}

fn texts(message: Message, field: u64, texts: &[String]) -> Message {
    texts.iter().fold(message, |message, text| message.bytes(field, text))
}

fn addresses_of(addresses: &[ServerAddress]) -> impl Iterator<Item = Message> + '_ {
    addresses
        .iter()
        .map(|address| Message::new().bytes(1, address.client_cidr).bytes(2, &address.server_address))
}
