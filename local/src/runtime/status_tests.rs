//! Phases, conditions and what survives a restart of the cluster.

use super::*;

fn ended(exit_code: i32) -> Ended {
    Ended {
        id: "a".repeat(64),
        exit_code,
        reason: if exit_code == 0 { "Completed" } else { "Error" }.to_owned(),
        message: String::new(),
        started_ms: 1_000,
        finished_ms: 2_000,
    }
}

fn container(state: State) -> ContainerReport {
    let running = matches!(state, State::Running(_));
    ContainerReport {
        name: "c".to_owned(),
        image: "flyball.io/host".to_owned(),
        id: Some("b".repeat(64)),
        state,
        last: None,
        ready: running,
        started: running,
        restarts: 0,
    }
}

fn pod(policy: &str, states: Vec<State>) -> PodReport {
    PodReport {
        init: Vec::new(),
        containers: states.into_iter().map(container).collect(),
        policy: policy.to_owned(),
        pod_ip: "127.9.0.2".to_owned(),
        host_ip: "127.0.0.1".to_owned(),
        started_ms: 500,
        qos_class: "BestEffort",
    }
}

fn waiting() -> State {
    State::Waiting("ContainerCreating".to_owned(), String::new())
}

#[test]
fn phases() {
    let end = |code| State::Terminated(ended(code));
    for (id, report, expected) in [
        ("one waits", pod("Always", vec![State::Running(1), waiting()]), "Pending"),
        ("runs", pod("Always", vec![State::Running(1)]), "Running"),
        ("ended, will restart", pod("Always", vec![end(0)]), "Running"),
        ("all succeeded", pod("OnFailure", vec![end(0), end(0)]), "Succeeded"),
        ("one failed, will restart", pod("OnFailure", vec![end(0), end(1)]), "Running"),
        ("one failed for good", pod("Never", vec![end(0), end(1)]), "Failed"),
        ("one still runs", pod("Never", vec![end(1), State::Running(1)]), "Running"),
    ] {
        assert_eq!(phase(&report), expected, "{id}");
    }
    let mut crashing = pod("Always", vec![State::Waiting("CrashLoopBackOff".to_owned(), String::new())]);
    crashing.containers[0].last = Some(ended(1));
    assert_eq!(phase(&crashing), "Running");
    let mut starting = pod("Always", vec![waiting()]);
    starting.init = vec![container(State::Running(1))];
    assert_eq!(phase(&starting), "Pending");
    starting.init = vec![container(end(1))];
    starting.policy = "Never".to_owned();
    assert_eq!(phase(&starting), "Failed");
}

#[test]
fn conditions_keep_their_time_until_they_change() {
    let before = json!({"conditions": [
        {"type": "PodScheduled", "status": "True", "lastTransitionTime": "1970-01-01T00:00:00Z"}]});
    let first = compose(&pod("Always", vec![waiting()]), &before, 1_000);
    let second = compose(&pod("Always", vec![State::Running(1)]), &first, 5_000);
    let third = compose(&pod("Always", vec![State::Running(1)]), &second, 9_000);
    let of = |status: &Value, kind: &str| {
        let list = status["conditions"].as_array().unwrap();
        let found = list.iter().find(|condition| condition["type"] == kind).unwrap();
        (
            found["status"].as_str().unwrap().to_owned(),
            found["lastTransitionTime"].as_str().unwrap().to_owned(),
        )
    };
    assert_eq!(of(&first, "Ready"), ("False".to_owned(), "1970-01-01T00:00:01Z".to_owned()));
    assert_eq!(of(&third, "Ready"), ("True".to_owned(), "1970-01-01T00:00:05Z".to_owned()));
    assert_eq!(of(&third, "Initialized").1, "1970-01-01T00:00:01Z");
    assert_eq!(of(&third, "PodScheduled").1, "1970-01-01T00:00:00Z");
    assert_eq!(first["conditions"][1]["message"], "containers with unready status: [c]");
    assert_eq!(second, third);
}

#[test]
fn restart_of_the_cluster_counts_as_restart_of_the_container() {
    let spec: PodSpec = serde_json::from_value(json!({"containers": [{"name": "c", "image": "x"}]})).unwrap();
    let mut running = pod("Always", vec![State::Running(1_000)]);
    running.containers[0].restarts = 2;
    let object = json!({"metadata": {}, "status": compose(&running, &Value::Null, 1_000)});
    let resumed = resume(&object, &spec, 60_000);
    let container = &resumed.containers[0];
    assert_eq!((container.restarts, container.ready), (2, false));
    assert_eq!(container.last.as_ref().map(|last| (last.exit_code, last.finished_ms)), Some((255, 60_000)));
    assert!(container.id.is_some() && matches!(container.state, State::Waiting(..)));

    let never: PodSpec =
        serde_json::from_value(json!({"restartPolicy": "Never", "containers": [{"name": "c"}]})).unwrap();
    assert_eq!(phase(&resume(&object, &never, 60_000)), "Failed");
    let done =
        json!({"status": compose(&pod("OnFailure", vec![State::Terminated(ended(0))]), &Value::Null, 1)});
    let again: PodSpec =
        serde_json::from_value(json!({"restartPolicy": "OnFailure", "containers": [{"name": "c"}]})).unwrap();
    assert_eq!(phase(&resume(&done, &again, 60_000)), "Succeeded");
    let fresh = resume(&json!({}), &spec, 7);
    assert_eq!((fresh.started_ms, fresh.containers[0].id.clone()), (7, None));
}
