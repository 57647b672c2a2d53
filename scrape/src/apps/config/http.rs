//! How targets are spoken to: authentication, TLS, headers. Pure.

use std::path::Path;

use super::super::job::{Authorization, HttpAccess, Secret, Tls};
use super::fields::{Fields, Item, Read};
use crate::tls::Versions;

/// Headers that the scraper sets itself, or that belong to the connection.
const OWN_HEADERS: [&str; 24] = [
    "accept",
    "accept-encoding",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "expect",
    "host",
    "keep-alive",
    "origin",
    "proxy-authenticate",
    "proxy-authorization",
    "referer",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "www-authenticate",
    "x-prometheus-scrape-timeout-seconds",
];

/// Reads the fields that a job has for it.
pub(super) fn read(fields: &mut Fields<'_>, folder: &Path) -> Read<HttpAccess> {
    const REFUSED: [&str; 5] =
        ["oauth2", "proxy_url", "proxy_connect_header", "proxy_from_environment", "no_proxy"];
    for key in REFUSED {
        fields.refuse(key, "")?;
    }
    // Answers come over HTTP/1.1, which every server has to speak.
    fields.ignore("enable_http2", Item::boolean)?;
    Ok(HttpAccess {
        authorization: authorization(fields, folder)?,
        tls: fields.read("tls_config", |item| tls(item, folder))?.unwrap_or_default(),
        follow_redirects: fields.read("follow_redirects", Item::boolean)?.unwrap_or(true),
        headers: fields.read("http_headers", |item| headers(item, folder))?.unwrap_or_default(),
    })
}

fn authorization(fields: &mut Fields<'_>, folder: &Path) -> Read<Authorization> {
    let ways = ["basic_auth", "authorization", "bearer_token", "bearer_token_file"];
    let mut given: Vec<(&str, Item<'_>)> =
        ways.into_iter().filter_map(|way| Some((way, fields.given(way)?))).collect();
    if let [(first, _), (_, second), ..] = given.as_slice() {
        return Err(second.fault(format!("there is {first} already")));
    }
    let Some((way, item)) = given.pop() else { return Ok(Authorization::None) };
    let bearer = |credentials| Authorization::Scheme { scheme: "Bearer".to_owned(), credentials };
    match way {
        "basic_auth" => basic(&item, folder),
        "authorization" => other_scheme(&item, folder),
        "bearer_token" => Ok(bearer(Secret::Text(item.text()?))),
        _ => Ok(bearer(Secret::File(item.file(folder)?))),
    }
}

/// A text, or the file that holds it; not both.
fn secret(fields: &mut Fields<'_>, folder: &Path, text: &str, file: &str) -> Read<Option<Secret>> {
    let plain = fields.read(text, Item::text)?.filter(|plain| !plain.is_empty());
    match (plain, fields.given(file)) {
        (Some(_), Some(item)) => Err(item.fault(format!("there is {text} already"))),
        (Some(plain), None) => Ok(Some(Secret::Text(plain))),
        (None, Some(item)) => Ok(Some(Secret::File(item.file(folder)?))),
        (None, None) => Ok(None),
    }
}

fn basic(item: &Item<'_>, folder: &Path) -> Read<Authorization> {
    let mut fields = item.fields()?;
    let username = secret(&mut fields, folder, "username", "username_file")?;
    let password = secret(&mut fields, folder, "password", "password_file")?;
    fields.refuse("username_ref", "")?;
    fields.refuse("password_ref", "")?;
    fields.finish()?;
    let or_empty = |secret: Option<Secret>| secret.unwrap_or(Secret::Text(String::new()));
    Ok(Authorization::Basic { username: or_empty(username), password: or_empty(password) })
}

fn other_scheme(item: &Item<'_>, folder: &Path) -> Read<Authorization> {
    let mut fields = item.fields()?;
    let scheme = match fields.given("type") {
        Some(field) if field.text()?.trim().eq_ignore_ascii_case("basic") => {
            return Err(field.fault("basic has a section of its own: basic_auth"));
        }
        Some(field) => field.text()?.trim().to_owned(),
        None => String::new(),
    };
    let credentials = secret(&mut fields, folder, "credentials", "credentials_file")?;
    fields.refuse("credentials_ref", "")?;
    fields.finish()?;
    let scheme = if scheme.is_empty() { "Bearer".to_owned() } else { scheme };
    Ok(Authorization::Scheme { scheme, credentials: credentials.unwrap_or(Secret::Text(String::new())) })
}

fn tls(item: &Item<'_>, folder: &Path) -> Read<Tls> {
    let mut fields = item.fields()?;
    let authority = secret(&mut fields, folder, "ca", "ca_file")?;
    let certificate = secret(&mut fields, folder, "cert", "cert_file")?;
    let key = secret(&mut fields, folder, "key", "key_file")?;
    let identity = match (certificate, key) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(_), None) => return Err(fields.fault("key_file", "it is missing: there is a certificate")),
        (None, Some(_)) => return Err(fields.fault("cert_file", "it is missing: there is a key")),
    };
    let tls = Tls {
        authority,
        identity,
        server_name: fields.read("server_name", Item::text)?.filter(|name| !name.is_empty()),
        insecure: fields.read("insecure_skip_verify", Item::boolean)?.unwrap_or(false),
        versions: versions(&mut fields)?,
    };
    for key in ["ca_ref", "cert_ref", "key_ref"] {
        fields.refuse(key, "")?;
    }
    fields.finish()?;
    Ok(tls)
}

/// Versions of TLS, of which 1.2 and 1.3 are spoken: an older lower bound leaves both.
fn versions(fields: &mut Fields<'_>) -> Read<Versions> {
    let not_spoken = |item: &Item<'_>, other: &str| {
        item.fault(format!("{other:?} is not supported: TLS 1.2 and 1.3 are spoken"))
    };
    let only_13 = fields.read("min_version", |item| match item.text()?.as_str() {
        "TLS10" | "TLS11" | "TLS12" => Ok(false),
        "TLS13" => Ok(true),
        other => Err(not_spoken(item, other)),
    })?;
    let only_13 = only_13.unwrap_or(false);
    let only_12 = fields.read("max_version", |item| match item.text()?.as_str() {
        "TLS12" if only_13 => Err(item.fault("it is less than min_version")),
        "TLS12" => Ok(true),
        "TLS13" => Ok(false),
        other => Err(not_spoken(item, other)),
    })?;
    Ok(match (only_13, only_12.unwrap_or(false)) {
        (true, _) => Versions::Tls13,
        (false, true) => Versions::Tls12,
        (false, false) => Versions::Both,
    })
}

fn headers(item: &Item<'_>, folder: &Path) -> Read<Vec<(String, Secret)>> {
    let mut all = Vec::new();
    for (name, header) in item.entries()? {
        if http::HeaderName::try_from(name).is_err() {
            return Err(header.fault(format!("{name:?} is no name of a header")));
        }
        if OWN_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
            return Err(header.fault("this header cannot be set"));
        }
        let mut fields = header.fields()?;
        for key in ["values", "secrets"] {
            for value in fields.read(key, |item| item.items())?.unwrap_or_default() {
                let text = value.text()?;
                if http::HeaderValue::try_from(&text).is_err() {
                    return Err(value.fault("it holds characters that a header cannot carry"));
                }
                all.push((name.to_owned(), Secret::Text(text)));
            }
        }
        for file in fields.read("files", |item| item.items())?.unwrap_or_default() {
            all.push((name.to_owned(), Secret::File(file.file(folder)?)));
        }
        fields.finish()?;
    }
    Ok(all)
}
