//! Why a call to the API server failed, as one sentence for people that says how to mend it.

use std::error::Error;

/// The topic under which [`Advice`](crate::advice::Advice) holds it.
pub const TOPIC: &str = "api-server";

/// Says what stands between us and the API server. `None` when the API server answered and the answer is about the
/// request alone (not found, forbidden, conflict …).
pub fn explain(error: &kube::Error) -> Option<String> {
    if let kube::Error::Api(status) = error {
        return match status.code {
            401 => Some(
                "the API server does not accept our credentials (401 Unauthorized): the token or client certificate \
                 has expired, or is of another cluster; in a pod, look whether its ServiceAccount still exists (a \
                 restarted pod gets a new token), elsewhere renew the kubeconfig"
                    .to_owned(),
            ),
            500.. => Some(format!("the API server fails ({}): {}", status.code, status.message)),
            _ => None,
        };
    }
    let text = causes(error);
    Some(match certificate_fault(&text) {
        Some(fault) => format!(
            "the API server's certificate is not accepted ({fault}): the CA in use is the one of the kubeconfig \
             (certificate-authority), or in a pod /var/run/secrets/kubernetes.io/serviceaccount/ca.crt; it must be the \
             one that signed the API server's certificate, which must name the host that is dialled"
        ),
        None => format!("the API server cannot be reached: {text}"),
    })
}

/// What the TLS library said about the server's certificate, if it was that.
fn certificate_fault(text: &str) -> Option<&str> {
    const MARK: &str = "invalid peer certificate: ";
    let start = text.find(MARK)? + MARK.len();
    Some(&text[start..])
}

/// The error and its causes; what a cause repeats is told once.
pub fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(text: &str) -> kube::Error {
        kube::Error::Service(Box::new(std::io::Error::other(text.to_owned())))
    }

    fn answered(code: u16) -> kube::Error {
        let status = kube::core::Status::failure("m", "r").with_code(code);
        kube::Error::Api(Box::new(status))
    }

    #[test]
    fn what_is_in_the_way_is_named_with_its_cure() {
        for (error, expected) in [
            (answered(401), "does not accept our credentials"),
            (answered(503), "the API server fails (503): m"),
            (
                service("invalid peer certificate: UnknownIssuer"),
                "not accepted (UnknownIssuer): the CA in use",
            ),
            (
                service("Connection refused (os error 111)"),
                "cannot be reached: ServiceError: Connection refused",
            ),
        ] {
            let told = explain(&error).unwrap();
            assert!(told.contains(expected), "{told}");
        }
        for code in [403, 404, 409] {
            assert_eq!(explain(&answered(code)), None, "{code}");
        }
    }
}
