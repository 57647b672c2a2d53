//! Which command of this machine an image stands for. Pure.

use std::collections::BTreeMap;

/// The image whose command and arguments the manifest gives.
pub const HOST_IMAGE: &str = "flyball.io/host";
/// The image of the example server.
pub const BURN_IMAGE: &str = "flyball.io/burn";

/// What images can be run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Images {
    /// Command of the example server (`flyball.io/burn`); empty if there is none.
    pub burn_command: Vec<String>,
    /// Commands by image name, as given with `--map IMAGE=COMMAND`. The full name wins over the name without tag.
    pub mapped: BTreeMap<String, Vec<String>>,
}

impl Images {
    /// The words to run for a container: the image's command with the manifest's `command` and `args` applied as
    /// Kubernetes does (`command` replaces the image's entry point, `args` its arguments; an image without an entry
    /// point, which [`HOST_IMAGE`] is, runs `args` alone).
    ///
    /// # Errors
    /// One sentence that says what can be run here.
    pub fn command(&self, image: &str, command: &[String], args: &[String]) -> Result<Vec<String>, String> {
        let bare = without_tag(image);
        let own: &[String] = match (self.mapped.get(image).or_else(|| self.mapped.get(bare)), bare) {
            (Some(mapped), _) => mapped,
            (None, HOST_IMAGE) => &[],
            (None, BURN_IMAGE) if !self.burn_command.is_empty() => &self.burn_command,
            (None, _) => return Err(self.cannot_run(image)),
        };
        let entry = if command.is_empty() { own } else { command };
        let words: Vec<String> = entry.iter().chain(args).cloned().collect();
        if words.is_empty() {
            return Err(format!(
                "image {HOST_IMAGE:?} runs a command of this machine, and the container names none: set `command`"
            ));
        }
        Ok(words)
    }

    fn cannot_run(&self, image: &str) -> String {
        let mut known = vec![format!("{HOST_IMAGE} (with `command`)")];
        if !self.burn_command.is_empty() {
            known.push(BURN_IMAGE.to_owned());
        }
        known.extend(self.mapped.keys().cloned());
        format!(
            "image {image:?} cannot be run here: this cluster runs commands of this machine, not images; \
             it can run {}; map another with --map '{image}=COMMAND'",
            known.join(", ")
        )
    }
}

/// The image name without tag and digest.
fn without_tag(image: &str) -> &str {
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    // A colon before the last slash belongs to a registry's port.
    match name.rsplit_once(':') {
        Some((bare, tag)) if !tag.contains('/') => bare,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn commands_of_images() {
        let images = Images {
            burn_command: words(&["flyball", "burn"]),
            mapped: BTreeMap::from([("web:1".to_owned(), words(&["./web", "-v"]))]),
        };
        let check = |id: &str, image: &str, command: &[&str], args: &[&str], expected: Option<&[&str]>| {
            let run = images.command(image, &words(command), &words(args)).ok();
            assert_eq!(run, expected.map(words), "{id}");
        };
        check("host", "flyball.io/host", &["sleep"], &["1"], Some(&["sleep", "1"]));
        check("host with tag", "flyball.io/host:latest", &["sleep", "1"], &[], Some(&["sleep", "1"]));
        check("host, arguments alone", "flyball.io/host", &[], &["sleep", "1"], Some(&["sleep", "1"]));
        check("host without a word", "flyball.io/host", &[], &[], None);
        check("burn", "flyball.io/burn:v1", &[], &["--port", "1"], Some(&["flyball", "burn", "--port", "1"]));
        check("burn, command replaced", "flyball.io/burn", &["x"], &[], Some(&["x"]));
        check("mapped", "web:1", &[], &["a"], Some(&["./web", "-v", "a"]));
        check("mapped, other tag", "web:2", &[], &[], None);
        check("unknown", "nginx", &["sleep"], &[], None);
        let message = images.command("nginx", &[], &[]).unwrap_err();
        assert!(
            message.contains("flyball.io/host") && message.contains("--map 'nginx=COMMAND'"),
            "{message}"
        );
    }

    #[test]
    fn tags_and_ports() {
        for (image, bare) in
            [("a", "a"), ("a:1", "a"), ("r:5000/a", "r:5000/a"), ("r:5000/a:1@sha256:0", "r:5000/a")]
        {
            assert_eq!(without_tag(image), bare);
        }
    }
}
