//! The Prometheus recorder and the words that describe each metric.

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use crate::policy::REASONS;

/// Buckets of `sealgate_audit_sync_seconds`, `sealgate_audit_lag_seconds` and `sealgate_overhead_seconds`.
const SECONDS: [f64; 12] =
    [0.000_025, 0.000_05, 0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 1.0];

/// Buckets of `sealgate_catalog_window_seconds`: the poll is every 5 seconds.
const WINDOW_SECONDS: [f64; 7] = [0.01, 0.1, 1.0, 5.0, 10.0, 30.0, 60.0];

/// Detectors, with the severities of their alerts.
const ALERTS: &[(&str, &str)] = &[
    ("limit", "warning"),
    ("limit", "critical"),
    ("does-not-open", "critical"),
    ("learned", "warning"),
    ("learned", "critical"),
    ("failed-logins", "warning"),
    ("failed-logins", "critical"),
    ("refusals", "warning"),
    ("refusals", "critical"),
    ("errors", "warning"),
    ("errors", "critical"),
    ("hours", "warning"),
    ("hours", "critical"),
    ("injection", "warning"),
    ("injection", "critical"),
    ("honey", "warning"),
    ("honey", "critical"),
    ("shared", "warning"),
    ("shared", "critical"),
    ("journal", "warning"),
    ("journal", "critical"),
];

/// Kinds of statements, with the verdicts on them.
const STATEMENTS: &[(&str, &str)] = &[
    ("untouched", "passed"),
    ("judged", "permitted"),
    ("judged", "refused"),
    ("read", "permitted"),
    ("search", "permitted"),
    ("write", "permitted"),
    ("define", "permitted"),
    ("replicate", "permitted"),
    ("possible", "permitted"),
    ("late", "permitted"),
];

/// Installs the recorder for the whole process.
///
/// # Errors
/// A recorder is installed already.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full("sealgate_audit_sync_seconds".to_owned()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Full("sealgate_audit_lag_seconds".to_owned()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Full("sealgate_overhead_seconds".to_owned()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Full("sealgate_catalog_window_seconds".to_owned()), &WINDOW_SECONDS)?
        .install_recorder()?;
    describe();
    begin();
    Ok(handle)
}

/// What one alarms on is there before it happens: Prometheus sees no rise from nothing to one.
fn begin() {
    metrics::gauge!("sealgate_build_info", "version" => env!("CARGO_PKG_VERSION"), "commit" => env!("SEALGATE_COMMIT"))
        .set(1.0);
    metrics::gauge!("sealgate_sessions", "state" => "open").set(0.0);
    for reason in REASONS {
        metrics::counter!("sealgate_refusals_total", "reason" => *reason).absolute(0);
    }
    for (detector, severity) in ALERTS {
        metrics::counter!("sealgate_alerts_total", "detector" => *detector, "severity" => *severity)
            .absolute(0);
    }
    for (kind, verdict) in STATEMENTS {
        metrics::counter!("sealgate_statements_total", "kind" => *kind, "verdict" => *verdict).absolute(0);
    }
    for by in ["gate", "server", "refusal"] {
        metrics::counter!("sealgate_logins_failed_total", "by" => by).absolute(0);
    }
    for result in ["applied", "refused"] {
        metrics::counter!("sealgate_reloads_total", "result" => result).absolute(0);
    }
    for result in ["hit", "miss"] {
        metrics::counter!("sealgate_plan_cache_total", "result" => result).absolute(0);
    }
    metrics::gauge!("sealgate_incidents_open").set(0.0);
    for direction in ["told", "heard"] {
        metrics::counter!("sealgate_share_entries_total", "direction" => direction).absolute(0);
    }
    for why in ["size", "forged", "form", "full"] {
        metrics::counter!("sealgate_share_refused_total", "why" => why).absolute(0);
    }
    metrics::counter!("sealgate_share_untold_total").absolute(0);
    metrics::gauge!("sealgate_learned_principals").set(0.0);
    metrics::counter!("sealgate_learned_forgotten_total").absolute(0);
    metrics::counter!("sealgate_learned_failures_total").absolute(0);
    metrics::counter!("sealgate_audit_records_total").absolute(0);
    metrics::counter!("sealgate_audit_failures_total").absolute(0);
    metrics::counter!("sealgate_audit_lost_total").absolute(0);
    metrics::counter!("sealgate_audit_checkpoints_total").absolute(0);
    metrics::counter!("sealgate_audit_checkpoint_failures_total").absolute(0);
    metrics::gauge!("sealgate_audit_held_records").set(0.0);
    metrics::gauge!("sealgate_audit_reserve_bytes").set(0.0);
}

fn describe() {
    metrics::describe_gauge!("sealgate_sessions", "Client sessions by state.");
    metrics::describe_counter!("sealgate_statements_total", "Statements by kind and verdict.");
    metrics::describe_counter!("sealgate_cells_total", "Classified values by database, field and operation.");
    metrics::describe_counter!("sealgate_refusals_total", "Refusals by reason.");
    metrics::describe_counter!("sealgate_alerts_total", "Alerts of the watch by detector and severity.");
    metrics::describe_gauge!("sealgate_incidents_open", "Incidents that go on.");
    metrics::describe_gauge!(
        "sealgate_share_up",
        "Is what other proxies tell heard; not there where nothing is shared."
    );
    metrics::describe_gauge!("sealgate_share_proxies", "Other proxies that are heard.");
    metrics::describe_counter!(
        "sealgate_share_entries_total",
        "Entries that other proxies were told, or told."
    );
    metrics::describe_counter!(
        "sealgate_share_refused_total",
        "Entries in the store that were not heard, by why: size, forged, form, full."
    );
    metrics::describe_counter!(
        "sealgate_share_untold_total",
        "Entries for which there was no room to be told."
    );
    metrics::describe_gauge!("sealgate_learned_principals", "Users whose normal is known.");
    metrics::describe_counter!("sealgate_learned_forgotten_total", "Users that had to make room for others.");
    metrics::describe_counter!(
        "sealgate_learned_failures_total",
        "Times that what was learned could not be saved."
    );
    metrics::describe_counter!(
        "sealgate_alert_deliveries_total",
        "Notices of incidents by receiver and result: delivered, failed (tried again), dropped."
    );
    metrics::describe_gauge!("sealgate_alerts_waiting", "Notices that wait for a receiver, by receiver.");
    metrics::describe_histogram!(
        "sealgate_overhead_seconds",
        "Time that statements on classified data spent here: judging, sealing, opening, waiting for the record."
    );
    metrics::describe_counter!(
        "sealgate_logins_failed_total",
        "Starts of sessions that came to nothing, by who said no."
    );
    metrics::describe_counter!("sealgate_audit_records_total", "Audit records made durable.");
    metrics::describe_counter!(
        "sealgate_audit_failures_total",
        "Batches of records that could not be made durable."
    );
    metrics::describe_counter!(
        "sealgate_audit_lost_total",
        "Records that were lost: too many waited while the folder could not be written."
    );
    metrics::describe_gauge!(
        "sealgate_audit_held_records",
        "Records of what has happened that wait for a folder that cannot be written."
    );
    metrics::describe_gauge!("sealgate_audit_free_bytes", "Free room where the audit folder is.");
    metrics::describe_counter!(
        "sealgate_audit_checkpoints_total",
        "Checkpoints of the record that were signed and written."
    );
    metrics::describe_counter!(
        "sealgate_audit_checkpoint_failures_total",
        "Checkpoints of the record that could not be written beside it."
    );
    metrics::describe_gauge!(
        "sealgate_audit_unsigned_records",
        "Durable records behind the last checkpoint."
    );
    metrics::describe_counter!("sealgate_audit_sink_checkpoints_total", "Checkpoints that a sink has taken.");
    metrics::describe_counter!("sealgate_audit_sink_failures_total", "Tries in which a sink took none.");
    metrics::describe_gauge!(
        "sealgate_audit_sink_lag_seconds",
        "How long the oldest checkpoint has waited that a sink has not taken."
    );
    metrics::describe_gauge!(
        "sealgate_audit_reserve_bytes",
        "Room kept for records of what has happened; 0 where it was given up."
    );
    metrics::describe_histogram!(
        "sealgate_audit_lag_seconds",
        "Time from handing a record in until it is durable, of the oldest of a batch."
    );
    metrics::describe_histogram!("sealgate_audit_sync_seconds", "Time to make one batch of records durable.");
    metrics::describe_histogram!(
        "sealgate_catalog_window_seconds",
        "Longest time for which a catalog that had changed was still judged by, a change each."
    );
    metrics::describe_gauge!("sealgate_residency_targets", "Places judged, by kind, region and verdict.");
    metrics::describe_counter!("sealgate_plan_cache_total", "Lookups of plans by result.");
    metrics::describe_gauge!("sealgate_upstream_up", "Is the server reachable, by host and region.");
    metrics::describe_gauge!("sealgate_upstream_writable", "Does the server take writes, by host.");
    metrics::describe_gauge!(
        "sealgate_policy_misfits",
        "Fields of the policy that do not fit, by database; * for those that name none."
    );
    metrics::describe_gauge!(
        "sealgate_key_version",
        "Version of the root key that new values are sealed under."
    );
    metrics::describe_counter!("sealgate_reloads_total", "Reloads of the configuration by result.");
    metrics::describe_gauge!("sealgate_build_info", "Version and commit of this build.");
}
