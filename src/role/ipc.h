// SPDX-License-Identifier: Apache-2.0
// What gateways and the controller say to each other over the controller's Unix socket (run/control.sock,
// whose listener the supervisor owns). Framing and descriptors: os/msg. Payloads are JSON, parsed with
// yyjson, except IPC_BODY, which is raw bytes.
//
//   routing connection, one per gateway, for its whole life
//     gateway    IPC_HELLO   {"gateway":0,"protocol":1}
//     controller IPC_DEPLOY  {"deployment":7,"model":"churn","version":3,"slot":2,"engine":"trees"} + 1
//     descriptor (image, sealed memfd) controller IPC_ROUTES
//     {"generation":12,"models":[{"name":"churn","default":7,
//                             "versions":[{"version":3,"deployment":7}],"aliases":[{"alias":"champion","deployment":7}]}]}
//                            the whole table; deployments it does not name are dropped after their last
//                            request
//     gateway    IPC_ACK     {"generation":12}            once every later request is routed by this table
//
//   admin connection, one per admin request
//     gateway    IPC_REQUEST
//     {"method":"PUT","path":"/api/v1/…","query":"","content_type":"…","request_id":"…","body":true} gateway
//     IPC_BODY    raw bytes, at most IPC_BODY_MAX each; then IPC_END, or closes to abort controller
//     IPC_RESPONSE{"status":201,"content_type":"application/json"} controller IPC_BODY*, IPC_END
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
};

enum { IPC_PROTOCOL = 1, IPC_BODY_MAX = 64 << 10, IPC_PAYLOAD_MAX = 16 << 20 };
