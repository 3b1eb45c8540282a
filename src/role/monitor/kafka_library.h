// SPDX-License-Identifier: Apache-2.0
// librdkafka, opened while the program runs: what we use of its documented interface, which its libraries
// librdkafka.so.1 have kept since version 1.0, so that no header of it is needed to build.
#pragma once

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

// Its types, of which we see no inside.
struct rd_kafka_s;
struct rd_kafka_conf_s;
struct rd_kafka_topic_s;
struct rd_kafka_topic_conf_s;
struct rd_kafka_queue_s;

// What a message is when it is told what became of it: rd_kafka_message_t.
struct kafka_message {
    int err; // 0: delivered
    struct rd_kafka_topic_s *topic;
    int32_t partition;
    void *payload;
    size_t len;
    void *key;
    size_t key_len;
    int64_t offset;
    void *private_data;
};

enum {
    KAFKA_PRODUCER = 0,       // rd_kafka_type_t
    KAFKA_PARTITION_ANY = -1, // by the key
    KAFKA_MESSAGE_COPY = 2,   // the message is copied; without KAFKA_MESSAGE_BLOCK nothing waits
    KAFKA_PURGE_ALL = 3,      // in the queue and under way
    // rd_kafka_resp_err_t
    KAFKA_TIMED_OUT = -192,
    KAFKA_QUEUE_FULL = -184,
    KAFKA_PURGED_IN_QUEUE = -152,
    KAFKA_PURGED_UNDER_WAY = -151,
    KAFKA_TOO_LARGE = 10,
    KAFKA_CONF_UNKNOWN = -2, // rd_kafka_conf_res_t
    KAFKA_CONF_OK = 0,
};

typedef void kafka_on_delivery(struct rd_kafka_s *k, const struct kafka_message *m, void *opaque);
typedef void kafka_on_error(struct rd_kafka_s *k, int err, const char *reason, void *opaque);

// rd_kafka_NAME
struct kafka_library {
    const char *(*version_str)(void);
    struct rd_kafka_conf_s *(*conf_new)(void);
    void (*conf_destroy)(struct rd_kafka_conf_s *c);
    int (*conf_set)(struct rd_kafka_conf_s *c, const char *name, const char *value, char *why, size_t size);
    void (*conf_set_opaque)(struct rd_kafka_conf_s *c, void *opaque);
    void (*conf_set_dr_msg_cb)(struct rd_kafka_conf_s *c, kafka_on_delivery *f);
    void (*conf_set_error_cb)(struct rd_kafka_conf_s *c, kafka_on_error *f);
    void (*conf_set_log_cb)(struct rd_kafka_conf_s *c,
                            void (*f)(const struct rd_kafka_s *k, int level, const char *what,
                                      const char *text)); // NULL: it says nothing
    struct rd_kafka_s *(*new)(int type, struct rd_kafka_conf_s *c, char *why,
                              size_t size); // takes c, if it works
    void (*destroy)(struct rd_kafka_s *k);
    struct rd_kafka_topic_s *(*topic_new)(struct rd_kafka_s *k, const char *name,
                                          struct rd_kafka_topic_conf_s *c);
    void (*topic_destroy)(struct rd_kafka_topic_s *t);
    int (*produce)(struct rd_kafka_topic_s *t, int32_t partition, int flags, void *payload, size_t len,
                   const void *key, size_t key_len, void *opaque); // -1: last_error
    int (*last_error)(void);
    const char *(*err2str)(int err);
    int (*poll)(struct rd_kafka_s *k, int timeout_ms); // calls what is to be called; returns how many
    int (*flush)(struct rd_kafka_s *k, int timeout_ms);
    int (*purge)(struct rd_kafka_s *k, int flags);
    struct rd_kafka_queue_s *(*queue_get_main)(struct rd_kafka_s *k);
    void (*queue_destroy)(struct rd_kafka_queue_s *q);
    void (*queue_io_event_enable)(struct rd_kafka_queue_s *q, int fd, const void *payload, size_t size);
};

// path "": that of the system. It stays open. ERR_UNAVAILABLE, with what to install.
int kafka_library_open(const char *path, struct kafka_library *ret, struct err *e) ERR_CHECKED;
