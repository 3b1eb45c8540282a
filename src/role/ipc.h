// SPDX-License-Identifier: Apache-2.0
// What gateways and the controller say to each other over the controller's Unix socket (run/control.sock,
// whose listener the supervisor owns), and gateways and the monitor over its own (run/monitor.sock; admin
// requests only, answered like the controller's). Framing and descriptors: os/msg. Payloads are JSON, parsed
// with yyjson, except IPC_BODY, which is raw bytes.
//
//   routing connection, one per gateway, for its whole life; when it breaks, the gateway connects anew within
//   two seconds and goes on serving its last table meanwhile
//     gateway    IPC_HELLO    {"gateway":0,"protocol":1,"generation":11}
//                             of the table it serves by; 0 or absent without one. A gateway that has a table
//                             gets no new one before it is complete.
//     controller IPC_DEPLOY   {"deployment":7,"model":"churn","version":3,"slot":2,"engine":"trees"}
//                             + 1 descriptor: the image, a memfd that is sealed for good, and a second where
//                             its signature has rules (tensor/rule.h): that as JSON
//     controller IPC_ROUTES   {"generation":12,"ready":true,"models":[{"name":"churn","default":7,
//                               "versions":[{"version":3,"deployment":7}],
//                               "aliases":[{"alias":"champion","deployment":7}]}]}
//                             the whole table; deployments it does not name are dropped after their last
//                             request. "ready" is false while versions of the registry are still being
//                             loaded. "default" is absent when the version that should answer is not loaded.
//                             A model whose default version makes room for another has "replacing":true.
//                             A version whose replicas may all end while nobody asks has "may_be_empty":true.
//                             A model whose requests are split between versions has a "split", see below.
//                             "tokens":{"life_s":7776000,"keys":"…"}: what seals and opens feedback tokens
//                             (role/feedback_keys.h); absent where there are none
//     gateway    IPC_ACK      {"generation":12}            once every later request is routed by this table
//     gateway    IPC_WANT     {"deployment":7}             requests for it wait and it has no replica; again
//                             twice a second while that is so
//                             "more":true: the registry has versions that are not loaded, so what this table
//                             does not name is asked for
//     gateway    IPC_ASK      {"model":"churn","name":"3"}   requests for it wait, and the table does not
//     have
//                             it; name "" is the default; again twice a second while that is so. A table that
//                             has it follows, or
//     controller IPC_ABSENT   {"model":"churn","name":"3","code":23,"message":"…","hint":"…"}
//                             why it is not loaded: the number of enum err_code, without its sign
//     controller IPC_SCALE    {"deployment":7,"wanted":2,"starved":false,"cold_starts":1}   what became of
//     the
//                             number of its replicas, for /metrics; after each change
//     controller IPC_METRICS  lines of /metrics that only the controller knows, as text; they replace those
//                             before
//
//     gateway    IPC_COHORTS  what a split or a shadow gave, see below; about once a second while there is
//                             one, and until the last of its requests is counted
//
//   "split" of a model: requests that name no version, or the alias, are divided. All deployments it names
//   were sent. Unknown fields are passed over; those with a default may be absent.
//     {"rollout":12,"epoch":3,            epoch grows with each change of weights, gates or shadow
//      "salt":"<32 hex digits>",          the 16 bytes of the key of rollout/split.h
//      "key":"none|header|query|json",    "none": each request is drawn
//      "key_name":"x-user",               or a path that json_path_check (wire/json_path.h) takes: a name it
//                                         refuses makes the gateway draw
//      "alias":"champion",                absent: only requests that name no version
//      "baseline":7,
//      "arms":[{"name":"canary","deployment":9,"weight":1000}],   at most GUARD_ARMS_MAX, in basis points;
//                                         own buckets from 0 in this order. [] or weight 0: nobody is drawn,
//                                         testers may still ask
//      "shadow":{"deployment":9,"share":10000,"budget_percent":20,    or absent. share of the baseline's
//                "segment":"none|header|query|json","segment_name":"x-country"},
//                                         requests in basis points; budget: of a gateway's time; segment: by
//                                         what pairs are told apart, as key and key_name
//      "shield":false,                    the baseline answers what an arm fails
//      "guards":["errors","latency","latency","invalid_output"],  names of enum guard_metric, in the order of
//                                         the judge_rules; events below are in this order
//      "latency":[{"guard":1,"stable_ns":100,"canary_ns":110}],   the frozen gates; a guard without has no
//                                         event
//      "timeout_ns":30000000000,          an outcome that did not come by then is an error, and slow
//      "range":[0,1],                     of sound outputs; absent: all that are finite
//      "cuts":[0.1,0.5]}                  of scores, between the ranges of rollout/scores.h; absent until
//      they
//                                         are made, and without the guard "distribution"
//   A request may ask for an arm by the header "Slipway-Arm: canary" (or "stable"); an arm that is not there
//   is an error. Answers say "Slipway-Arm: canary" while there is a split.
//
//   IPC_COHORTS: all numbers but rollout, epoch and closed_until_ns are what came since the last message.
//     {"rollout":12,"epoch":3,            the gateway's newest
//      "closed_until_ns":N,               monotonic: ticks opened before that were all sent
//      "ended":false,                     true: the last message, nothing is under way any more
//      "ticks":[{"opened_ns":N,"weight":100000,"arm":0,"requests":[c,s],"events":[[c,s],…]}],
//                                         by the requests' times of arrival. weight in millionths, that of
//                                         the pair of this arm and the baseline: with several arms a
//                                         baseline request stands in each. Pairs of a shadow are ticks of
//                                         arm 0 with the weight 500000: [n,n] requests, and events of one
//                                         alone. "ranges":[[c,s],…] besides, where there are cuts: by the
//                                         range of the score of the first row.
//                                         "firsts":[[entity,arm,events],…] besides: of sticky keys, which
//                                         stand neither in events nor in ranges. arm: 0 the canary, 1 stable;
//                                         events: bit i for a guard, bit 8 + i (GUARDS_MAX) for a range. A
//                                         gateway tells of a key and a guard once; the controller counts what
//                                         no other gateway told of
//      "assigned":[[arm,weight,c,s],…],   requests by the arm drawn, at once; weight as above
//      "drawn":[[arm,weight,c,s],…],      likewise, but each sticky key once in the rollout: for the check of
//                                         the sample ratio, which needs independent draws
//      "overridden":n,                    asked for an arm: in nothing above
//      "fallbacks":n,                     failed by an arm and answered by the baseline
//      "stable_hist":{"412":3,…},         durations of the baseline's requests, by bucket of base/hist.h
//      "scores":[0.25,…],                 of the baseline, of which the cuts are made; absent without any
//      "pairs":{…},                       of the shadow, as rollout/pairs.h reads it; absent without any
//      "segments":{…}}                    the same apart, as rollout/segments.h reads it
//
//   The monitor has such a connection, too: its IPC_HELLO is {"role":"monitor","protocol":1}. It gets
//   IPC_DEPLOY without descriptors and with one member more, "signature": the JSON of tensor/schema.h as the
//   registry has it; and the routes, which it acknowledges and nobody waits for.
//
//     monitor    IPC_LABELS   {"labels":[[deployment,arm,weight,bucket,predicted_ns,wrong],…]}
//                             first labels of predictions that a split had drawn: the arm as in the
//                             prediction log, its weight in basis points, the wall clock, wrong 0 or 1
//
//   IPC_DEPLOY has a member "log" besides: what is logged of the version, and how
//     {"schema":{…},                       predlog/schema.h; nothing is logged without
//      "key":"…",                          of its hashes, only to gateways
//      "log":"on|off","one_in":10,"overflow":"drop|sample|block","durability":"async|commit"}
//                                          where the version differs from the settings
//
//   Gateways also connect to run/monitor.sock, for waking each other over the memory of role/log_memory.h:
//     gateway    IPC_HELLO    {"gateway":0,"protocol":1}
//     gateway    IPC_WAKE     (empty) the monitor slept and there are records
//     monitor    IPC_SETTLED  (empty) the gateway waited and records were settled
//     monitor    IPC_UNSUMMED (empty) records need no checksum: this monitor makes it, others look for it
//
//   A deployment's number is its version's for ever, over restarts of the controller too; a slot belongs to
//   one deployment at a time. Generations grow within one connection. They may skip: a slow gateway gets the
//   newest table only.
//
//   admin connection, one per admin request
//     gateway    IPC_REQUEST  {"method":"PUT","path":"/api/v1/…","query":"","content_type":"…",
//                              "request_id":"…","idempotency_key":"","body":true,"lines":true}
//                             path and query still percent-encoded; "lines": the client takes
//                             application/x-ndjson over HTTP/1.1
//     gateway    IPC_BODY*    raw bytes, at most IPC_BODY_MAX each; only with "body":true
//     gateway    IPC_END      or closes, to abort: what was not acknowledged is undone
//     controller IPC_RESPONSE {"status":201,"content_type":"application/json"}   maybe before the body's end;
//                             "length":N where it is known, "lines":true where what happens is said as it
//                             happens: the gateway then passes the body on as it comes
//     controller IPC_BODY*, at most IPC_ANSWER_MAX unless the gateway passes them on, IPC_END, and it closes.
//                             A connection that ends without IPC_END was cut off.
#pragma once

enum ipc_type {
    IPC_HELLO = 1,
    IPC_DEPLOY,
    IPC_ROUTES,
    IPC_ACK,
    IPC_REQUEST,
    IPC_BODY,
    IPC_END,
    IPC_RESPONSE,
    IPC_WANT,
    IPC_SCALE,
    IPC_COHORTS,
    IPC_ASK,
    IPC_ABSENT,
    IPC_METRICS,
    IPC_WAKE,
    IPC_SETTLED,
    IPC_LABELS,
    IPC_UNSUMMED,
};

enum {
    IPC_PROTOCOL = 1,
    IPC_BODY_MAX = 64 << 10,
    IPC_PAYLOAD_MAX = 16 << 20,
    IPC_ANSWER_MAX = 64 << 20, // an answer that has no "length" and no "lines"
};
