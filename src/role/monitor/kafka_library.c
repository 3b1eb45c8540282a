// SPDX-License-Identifier: Apache-2.0
// Finding the library and its functions.
#include "role/monitor/kafka_library.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#define NAME "librdkafka.so.1"

static int missing(const char *path, struct err *e)
{
    const char *why = dlerror();
    if (path[0]) {
        err_set(e, ERR_UNAVAILABLE, "librdkafka does not open: %.240s", why ? why : path);
        err_hint(e, "Name the file " NAME " of librdkafka 1.0 or newer in the setting librdkafka_library.");
    } else {
        err_set(e, ERR_UNAVAILABLE, "predictions go to Kafka by librdkafka, and " NAME " is not found");
        err_hint(e, "Install it (Debian: apt install librdkafka1), or name the file in the setting "
                    "librdkafka_library.");
    }
    return ERR_UNAVAILABLE;
}

int kafka_library_open(const char *path, struct kafka_library *ret, struct err *e)
{
    const struct {
        const char *name;
        void *to;
    } CALLS[] = {
        {"rd_kafka_version_str", &ret->version_str},
        {"rd_kafka_conf_new", &ret->conf_new},
        {"rd_kafka_conf_destroy", &ret->conf_destroy},
        {"rd_kafka_conf_set", &ret->conf_set},
        {"rd_kafka_conf_set_opaque", &ret->conf_set_opaque},
        {"rd_kafka_conf_set_dr_msg_cb", &ret->conf_set_dr_msg_cb},
        {"rd_kafka_conf_set_error_cb", &ret->conf_set_error_cb},
        {"rd_kafka_conf_set_log_cb", &ret->conf_set_log_cb},
        {"rd_kafka_new", &ret->new},
        {"rd_kafka_destroy", &ret->destroy},
        {"rd_kafka_topic_new", &ret->topic_new},
        {"rd_kafka_topic_destroy", &ret->topic_destroy},
        {"rd_kafka_produce", &ret->produce},
        {"rd_kafka_last_error", &ret->last_error},
        {"rd_kafka_err2str", &ret->err2str},
        {"rd_kafka_poll", &ret->poll},
        {"rd_kafka_flush", &ret->flush},
        {"rd_kafka_purge", &ret->purge},
        {"rd_kafka_queue_get_main", &ret->queue_get_main},
        {"rd_kafka_queue_destroy", &ret->queue_destroy},
        {"rd_kafka_queue_io_event_enable", &ret->queue_io_event_enable},
    };
    void *library = dlopen(path[0] ? path : NAME, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return missing(path, e);
    for (size_t i = 0; i < sizeof CALLS / sizeof CALLS[0]; i++) {
        void *call = dlsym(library, CALLS[i].name);
        if (!call)
            return missing(path[0] ? path : NAME, e);
        memcpy(CALLS[i].to, &call, sizeof call); // ISO C has no cast from data to function
    }
    return 0;
}
