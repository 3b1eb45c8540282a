// SPDX-License-Identifier: Apache-2.0
// What gateways and the controller say to each other over the controller's Unix socket (run/control.sock,
// whose listener the supervisor owns). Framing and descriptors: os/msg. Payloads are JSON, parsed with
// yyjson, except IPC_BODY, which is raw bytes.
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
//     gateway    IPC_ACK      {"generation":12}            once every later request is routed by this table
//     gateway    IPC_WANT     {"deployment":7}             requests for it wait and it has no replica; again
//                             twice a second while that is so
//     controller IPC_SCALE    {"deployment":7,"wanted":2,"starved":false,"cold_starts":1}   what became of
//     the
//                             number of its replicas, for /metrics; after each change
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
//     controller IPC_BODY*, IPC_END, and it closes. A connection that ends without IPC_END was cut off.
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
};

enum { IPC_PROTOCOL = 1, IPC_BODY_MAX = 64 << 10, IPC_PAYLOAD_MAX = 16 << 20 };
