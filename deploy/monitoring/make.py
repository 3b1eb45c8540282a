# SPDX-License-Identifier: Apache-2.0
"""Makes Grafana's dashboards, and the C file that builds them and the alert rules into the program.

Usage: make.py RULES OUT.c. What the dashboards show stands in the tables below; the JSON around it is made here."""

import json
import pathlib
import sys

HERE = 'model=~"$model",version=~"$version"'

# A panel: title, unit, width of 24, queries with their legends. "# name" begins a row.
OVERVIEW = [
    ("# Requests",),
    ("Requests per second", "reqps", 8, [
        ('sum by (model, version) (rate(slipway_requests_total{%s}[$__rate_interval]))' % HERE, "{{model}} {{version}}")]),
    ("Answers with errors", "percentunit", 8, [
        ('sum by (model, version, code) (rate(slipway_requests_total{%s,code!="2xx"}[$__rate_interval])) / ignoring (code) '
         'group_left sum by (model, version) (rate(slipway_requests_total{%s}[$__rate_interval]))' % (HERE, HERE),
         "{{model}} {{version}} {{code}}")]),
    ("Rows per second", "rowsps", 8, [
        ('sum by (model, version) (rate(slipway_rows_total{%s}[$__rate_interval]))' % HERE, "{{model}} {{version}}")]),
    ("# Latency",),
    *[(title, "s", 8, [
        ('histogram_quantile(%s, sum by (model, version, le) (rate(slipway_%s_duration_seconds_bucket{%s}[$__rate_interval])))'
         % (q, name, HERE), "{{model}} {{version}} p" + q[2:].ljust(2, "0")) for q in quantiles])
      for title, name, quantiles in (("Request", "request", ("0.5", "0.95", "0.99")), ("Before the computation", "queue", ("0.95",)),
                                     ("Computation", "compute", ("0.95",)))],
    ("Requests by duration", "s", 12, [
        ('sum by (le) (increase(slipway_request_duration_seconds_bucket{%s}[$__rate_interval]))' % HERE, "{{le}}")]),
    ("Rows computed together", "short", 12, [
        ('sum by (model, version) (rate(slipway_batch_size_sum{%s}[$__rate_interval])) / '
         'sum by (model, version) (rate(slipway_batch_size_count{%s}[$__rate_interval]))' % (HERE, HERE), "{{model}} {{version}} mean"),
        ('histogram_quantile(0.95, sum by (model, version, le) (rate(slipway_batch_size_bucket{%s}[$__rate_interval])))' % HERE,
         "{{model}} {{version}} p95")]),
    ("# Replicas",),
    ("Replicas by state", "short", 8, [('slipway_replicas{%s} > 0' % HERE, "{{model}} {{version}} {{state}}")]),
    ("Replicas wanted", "short", 8, [
        ('slipway_autoscaler_desired{%s}' % HERE, "{{model}} {{version}}"),
        ('slipway_autoscaler_panic{%s}' % HERE, "{{model}} {{version}} panic"),
        ('slipway_starved{%s}' % HERE, "{{model}} {{version}} starved")]),
    ("Requests under way", "short", 8, [
        ('slipway_inflight{%s}' % HERE, "{{model}} {{version}}"),
        ('slipway_queue_depth{%s}' % HERE, "{{model}} {{version}} waiting"),
        ('slipway_autoscaler_target{%s} * on (instance, model, version) group_right sum by (instance, model, version) '
         '(slipway_replicas{%s,state="ready"})' % (HERE, HERE), "{{model}} {{version}} aimed at")]),
    ("Restarts and starts from zero", "short", 12, [
        ('increase(slipway_replica_restarts_total{%s}[$__rate_interval])' % HERE, "{{model}} {{version}} {{process}} {{index}}"),
        ('increase(slipway_cold_starts_total{%s}[$__rate_interval])' % HERE, "{{model}} {{version}} from zero")]),
    ("Time to load", "s", 12, [('slipway_replica_load_seconds{%s}' % HERE, "{{model}} {{version}} {{process}} {{index}}")]),
    ("# Server",),
    ("Processes", "short", 8, [
        ('sum by (instance, process) (slipway_process_up)', "{{process}} ready"),
        ('slipway_controller_connected', "controller heard"),
        ('sum by (instance, process) (increase(slipway_process_restarts_total[$__rate_interval]))', "{{process}} restarts")]),
    ("Connections", "short", 8, [
        ('slipway_connections', "open"),
        ('rate(slipway_connections_total[$__rate_interval])', "new per second"),
        ('rate(slipway_connections_refused_total[$__rate_interval])', "refused per second")]),
    ("Traffic", "Bps", 8, [
        ('rate(slipway_received_bytes_total[$__rate_interval])', "received"),
        ('rate(slipway_sent_bytes_total[$__rate_interval])', "sent")]),
    ("Other requests per second", "reqps", 12, [('sum by (code) (rate(slipway_other_requests_total[$__rate_interval]))', "{{code}}")]),
    ("Builds", "short", 12, [('count by (version) (slipway_build_info)', "{{version}}")]),
]

ROLLOUT = [
    ("# Versions beside each other",),
    ("Share of requests", "percentunit", 12, [
        ('sum by (model, version, arm) (rate(slipway_requests_total{%s}[$__rate_interval])) / ignoring (version, arm) '
         'group_left sum by (model) (rate(slipway_requests_total{%s}[$__rate_interval]))' % (HERE, HERE), "{{model}} {{version}} {{arm}}")]),
    ("Requests that fail", "percentunit", 12, [
        ('sum by (model, version, arm) (rate(slipway_requests_total{%s,code="5xx"}[$__rate_interval])) / '
         'sum by (model, version, arm) (rate(slipway_requests_total{%s}[$__rate_interval]))' % (HERE, HERE),
         "{{model}} {{version}} {{arm}}")]),
    *[("p%s of the latency" % q[2:], "s", 12, [
        ('histogram_quantile(%s, sum by (model, version, arm, le) (rate(slipway_request_duration_seconds_bucket{%s}[$__rate_interval])))'
         % (q, HERE), "{{model}} {{version}} {{arm}}")]) for q in ("0.95", "0.99")],
    ("Values that break the signature, per row", "short", 24, [
        ('sum by (model, version, arm, kind) (rate(slipway_signature_values_total{%s}[$__rate_interval])) / ignoring (kind) '
         'group_left sum by (model, version, arm) (rate(slipway_rows_total{%s}[$__rate_interval]))' % (HERE, HERE),
         "{{model}} {{version}} {{arm}} {{kind}}")]),
]

MODEL = 'model=~"$model"'

DRIFT = [
    ("# Inputs and outputs of the default versions, compared with their baselines",),
    *[(title, "short", 12, [("slipway_feature_drift{%s,stat=\"%s\"}" % (MODEL, stat), "{{model}} {{feature}}")])
      for title, stat in (("Distance of numbers (Wasserstein, in spreads)", "w1"), ("Distance of categories (Jensen-Shannon)", "js"),
                          ("PSI", "psi"), ("Kolmogorov-Smirnov", "ks"))],
    ("The ten that differ most", "short", 12, [
        ('topk(10, slipway_feature_drift{%s,stat=~"w1|js"})' % MODEL, "{{model}} {{feature}} {{stat}}")]),
    ("Missing values", "percentunit", 12, [("slipway_feature_missing_ratio{%s}" % MODEL, "{{model}} {{feature}}")]),
    ("# Requests",),
    ("Values that break the signature, per second", "short", 12, [
        ('sum by (model, version, kind, action) (rate(slipway_signature_values_total{%s}[$__rate_interval]))' % HERE,
         "{{model}} {{version}} {{kind}} {{action}}")]),
    ("Memory for watching", "bytes", 12, [("slipway_drift_memory_bytes{%s}" % HERE, "{{model}} {{version}}")]),
]

QUALITY = [
    ("# Predictions of the last 24 hours whose labels have come",),
    ("Labelled part", "percentunit", 12, [("slipway_label_coverage_ratio{%s}" % HERE, "{{model}} {{version}} {{arm}}")]),
    ("Shares that are right", "percentunit", 12, [
        ('slipway_quality{%s,metric=~"accuracy|precision|recall|specificity|f1|auc|macro_.*|top_.*",bound="value"}' % HERE,
         "{{model}} {{version}} {{arm}} {{metric}}")]),
    ("Losses and errors", "short", 12, [
        ('slipway_quality{%s,metric=~"log_loss|brier|calibration_error|mae|rmse|bias|median_error|error_p90|quantile_loss_.*",bound="value"}' % HERE,
         "{{model}} {{version}} {{arm}} {{metric}}")]),
    ("Bounds of 95 %", "short", 12, [
        ('slipway_quality{%s,metric=~"accuracy|auc|mae",bound!="value"}' % HERE, "{{model}} {{version}} {{arm}} {{metric}} {{bound}}")]),
    ("# Versions beside each other",),
    ("Difference to the stable arm", "short", 24, [
        ('slipway_quality{%s,bound="value"} - on (instance, model, metric, bound) group_left '
         'max by (instance, model, metric, bound) (slipway_quality{%s,arm="stable",bound="value"})' % (HERE, HERE),
         "{{model}} {{version}} {{arm}} {{metric}}")]),
]

LOG = [
    ("# Records",),
    ("Records per second", "short", 8, [
        ("rate(slipway_log_accepted_total[$__rate_interval])", "accepted"),
        ("rate(slipway_log_committed_total[$__rate_interval])", "on disk")]),
    ("Records given up per second", "short", 8, [
        ("sum by (reason) (rate(slipway_log_dropped_total[$__rate_interval]))", "{{reason}}")]),
    ("Records that wait", "short", 8, [
        ("slipway_log_accepted_total - slipway_log_committed_total - on (instance) sum by (instance) (slipway_log_dropped_total)",
         "{{instance}}")]),
    ("# Disk",),
    ("From the oldest record of a commit to its end", "s", 12, [
        ("histogram_quantile(%s, sum by (instance, le) (rate(slipway_log_commit_seconds_bucket[$__rate_interval])))" % q,
         "{{instance}} p" + q[2:].ljust(2, "0")) for q in ("0.5", "0.99")]),
    ("Commits per second", "short", 12, [("rate(slipway_log_commit_seconds_count[$__rate_interval])", "{{instance}}")]),
    ("# Who is told",),
    ("Alerts", "short", 8, [("sum by (state, severity) (slipway_alerts)", "{{state}} {{severity}}")]),
    ("Attempts to tell the receiver of alerts", "short", 8, [
        ("sum by (result) (increase(slipway_alert_posts_total[$__rate_interval]))", "{{result}}")]),
    ("Predictions told to the collector of traces, per second", "short", 8, [
        ("sum by (result) (rate(slipway_traces_total[$__rate_interval]))", "{{result}}")]),
]

DASHBOARDS = [("overview", "Slipway: overview", OVERVIEW), ("rollout", "Slipway: rollout", ROLLOUT), ("drift", "Slipway: drift", DRIFT),
              ("quality", "Slipway: quality", QUALITY), ("log", "Slipway: log", LOG)]

SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def variable(name, query):
    return {"name": name, "type": "query", "datasource": SOURCE, "query": {"query": query, "refId": name}, "definition": query,
            "refresh": 2, "includeAll": True, "allValue": ".*", "multi": True, "sort": 1,
            "current": {"selected": True, "text": ["All"], "value": ["$__all"]}}


def panel(number, title, unit, queries, place):
    return {"id": number, "type": "timeseries", "title": title, "datasource": SOURCE, "gridPos": place,
            "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
            "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
            "targets": [{"refId": chr(ord("A") + i), "datasource": SOURCE, "expr": expr, "legendFormat": legend}
                        for i, (expr, legend) in enumerate(queries)]}


def dashboard(name, title, table):
    panels, x, y, height = [], 0, 0, 8
    for row in table:
        number = len(panels) + 1
        if len(row) == 1 or x + row[2] > 24:
            x, y = 0, y + (height if x else 0)
        if len(row) == 1:
            panels.append({"id": number, "type": "row", "title": row[0][2:], "collapsed": False, "panels": [],
                           "gridPos": {"h": 1, "w": 24, "x": 0, "y": y}})
            y += 1
            continue
        panels.append(panel(number, row[0], row[1], row[3], {"h": height, "w": row[2], "x": x, "y": y}))
        x += row[2]
    variables = [{"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"},
                 variable("model", "label_values(slipway_requests_total, model)"),
                 variable("version", 'label_values(slipway_requests_total{model=~"$model"}, version)')]
    return {"uid": "slipway-" + name, "title": title, "tags": ["slipway"], "timezone": "browser", "editable": True, "refresh": "30s",
            "schemaVersion": 38, "version": 1, "time": {"from": "now-3h", "to": "now"}, "templating": {"list": variables},
            "annotations": {"list": []}, "links": [], "panels": panels}


def c_string(text):
    lines = text.splitlines(keepends=True)
    return "\n".join('    "%s"' % line.replace("\\", "\\\\").replace('"', '\\"').replace("?", "\\?").replace("\n", "\\n")
                     for line in lines)


def main():
    rules, out = map(pathlib.Path, sys.argv[1:])
    files = [(f"grafana/slipway-{name}.json", json.dumps(dashboard(name, title, table), indent=1) + "\n")
             for name, title, table in DASHBOARDS]
    files.append(("prometheus/slipway-rules.yml", rules.read_text()))
    body = ",\n".join('  {"%s",\n%s}' % (name, c_string(text)) for name, text in files)
    out.write_text('// Made by deploy/monitoring/make.py.\n#include "cli/dashboards.h"\n\n'
                   "const struct dashboard_file DASHBOARD_FILES[] = {\n%s};\nconst unsigned N_DASHBOARD_FILES = %d;\n"
                   % (body, len(files)))


main()
