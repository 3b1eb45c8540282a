// SPDX-License-Identifier: Apache-2.0
// The throw-away processes of the prediction log: what takes long over its files, so that the monitor's loop
// never stands still.
//
//   slipway @log seal DATA_DIR BEFORE_SEQ MAX_AGE_S MAX_BYTES    closes what the write-ahead log has to,
//                                                                 and removes what is too old or too much
//   slipway @log query DATA_DIR QUERY                             lines to descriptor 3; QUERY as in a URL
//   slipway @log find DATA_DIR                                    lines of the prediction ids in descriptor
//   4,
//                                                                 16 bytes each, in any order, to descriptor
//                                                                 3
//   slipway @log verify DATA_DIR                                  one JSON object to descriptor 3
//   slipway @log manifest DATA_DIR                                its lines to descriptor 3
//
// What fails is said as a last line {"error":…,"code":…}, and by the exit code.
#pragma once

#define LOG_WORKER_ROLE "@log"

enum { LOG_WORKER_FD_OUT = 3, LOG_WORKER_FD_IDS, LOG_WORKER_IDS_MAX = 1 << 16 };

int log_worker_main(int argc, char *const *argv);
