// SPDX-License-Identifier: Apache-2.0
// Lines of the log to a topic of Kafka by librdkafka, which keeps what waits and does the sending in threads
// of its own. It never calls us but from its poll, in this process's only thread, which an eventfd wakes.
#include "base/buf.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/str.h"
#include "role/monitor/kafka_library.h"
#include "role/monitor/kafka_options.h"
#include "role/monitor/monitor.h"
#include "role/monitor/sink.h"
#include "settings/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    MESSAGE_BYTES = 256, // that the library takes for itself with each
    PURGE_MS = 200,
    WHY_BYTES = 256,
};

struct kafka_sink {
    struct sink base; // to: brokers/topic
    struct kafka_library k;
    struct rd_kafka_s *producer; // NULL: the library or an option is not as it should be
    struct rd_kafka_topic_s *topic;
    struct rd_kafka_queue_s *queue;
    struct watch told; // eventfd; -1: none
};

static struct kafka_sink *of(struct sink *s)
{
    return (struct kafka_sink *)((char *)s - offsetof(struct kafka_sink, base));
}

// ---- what became of messages

static enum sink_drop reason(int err)
{
    if (err == KAFKA_TIMED_OUT)
        return SINK_DROP_EXPIRED;
    if (err == KAFKA_TOO_LARGE)
        return SINK_DROP_TOO_LARGE;
    return err == KAFKA_PURGED_IN_QUEUE || err == KAFKA_PURGED_UNDER_WAY ? SINK_DROP_STOPPED
                                                                         : SINK_DROP_REFUSED;
}

static void on_delivery(struct rd_kafka_s *producer, const struct kafka_message *m, void *opaque)
{
    (void)producer;
    struct kafka_sink *k = opaque;
    uint64_t bytes = m->len + m->key_len + MESSAGE_BYTES;
    if (m->err == 0) {
        sink_sent(&k->base, 1, bytes);
        return;
    }
    enum sink_drop why = reason(m->err);
    if (why != SINK_DROP_STOPPED)
        sink_failed(&k->base, k->k.err2str(m->err));
    sink_dropped(&k->base, why, 1, bytes);
}

static void on_error(struct rd_kafka_s *producer, int err, const char *why, void *opaque)
{
    (void)producer;
    struct kafka_sink *k = opaque;
    sink_failed(&k->base, why && why[0] ? why : k->k.err2str(err));
}

static void on_told(struct watch *w, uint32_t events)
{
    (void)events;
    struct kafka_sink *k = (struct kafka_sink *)((char *)w - offsetof(struct kafka_sink, told));
    uint64_t n;
    if (read(w->fd, &n, sizeof n) < 0 && errno != EAGAIN && errno != EINTR)
        sink_failed(&k->base, strerror(errno));
    (void)k->k.poll(k->producer, 0);
}

static void tick(struct sink *s, uint64_t now_mono_ns)
{
    struct kafka_sink *k = of(s);
    (void)now_mono_ns;
    if (k->producer)
        (void)k->k.poll(k->producer, 0);
}

static enum sink_drop take(struct sink *s, const struct sink_event *ev)
{
    struct kafka_sink *k = of(s);
    size_t key = strlen(ev->id);
    uint64_t room = s->m->settings->log_sink_bytes, bytes = ev->line.n + key + MESSAGE_BYTES;
    if (!k->producer)
        return SINK_DROP_UNAVAILABLE;
    if (bytes > room)
        return SINK_DROP_TOO_LARGE;
    if (s->counts.queued_bytes + bytes > room)
        return SINK_DROP_FULL;
    if (k->k.produce(k->topic, KAFKA_PARTITION_ANY, KAFKA_MESSAGE_COPY, (void *)(uintptr_t)ev->line.p,
                     ev->line.n, ev->id, key, NULL) == 0) {
        s->counts.queued++;
        s->counts.queued_bytes += bytes;
        return SINK_TAKEN;
    }
    int err = k->k.last_error();
    if (err == KAFKA_QUEUE_FULL)
        return SINK_DROP_FULL;
    sink_failed(s, k->k.err2str(err));
    return reason(err);
}

// ---- options

// `is_secret`: what the library says of it is not repeated, because that may be the value.
static int set(const struct kafka_sink *k, struct rd_kafka_conf_s *c, const char *name, const char *value,
               bool is_secret, struct err *e)
{
    char why[WHY_BYTES] = "";
    int rc = k->k.conf_set(c, name, value, why, sizeof why);
    if (rc == KAFKA_CONF_OK)
        return 0;
    if (rc == KAFKA_CONF_UNKNOWN)
        return err_set(e, ERR_INVALID, "librdkafka %s has no option '%.80s'", k->k.version_str(), name);
    return err_set(e, ERR_INVALID, "librdkafka does not take this value of '%.80s'%s%s", name,
                   is_secret ? "" : ": ", is_secret ? "" : why);
}

static int set_some(const struct kafka_sink *k, struct rd_kafka_conf_s *c, struct str text, bool is_file,
                    struct err *e)
{
    struct kafka_option o = {.line = 0};
    int rc;
    while ((rc = kafka_options_next(&text, is_file, &o, e)) > 0) {
        char *name = str_dup(o.name), *value = str_dup(o.value);
        rc = name && value ? set(k, c, name, value, is_file, e)
                           : err_set(e, ERR_NOMEM, "no memory for an option");
        if (value)
            explicit_bzero(value, o.value.n);
        free(name);
        free(value);
        if (rc)
            return rc;
    }
    return rc;
}

static int set_from_file(const struct kafka_sink *k, struct rd_kafka_conf_s *c, const char *path,
                         struct err *e)
{
    if (!path[0])
        return 0;
    char *text = malloc(LIMIT_LOG_KAFKA_FILE_BYTES);
    int fd = text ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1, number = errno;
    ssize_t n = fd < 0 ? -1 : read(fd, text, LIMIT_LOG_KAFKA_FILE_BYTES);
    int rc = 0;
    if (!text)
        rc = err_set(e, ERR_NOMEM, "no memory for a file of options");
    else if (n < 0)
        rc = err_errno(e, fd < 0 ? number : errno, "read '%s'", path);
    else if (n == LIMIT_LOG_KAFKA_FILE_BYTES)
        rc = err_set(e, ERR_TOO_LARGE, "'%s' has more than %d bytes", path, LIMIT_LOG_KAFKA_FILE_BYTES);
    else if ((rc = set_some(k, c, (struct str){text, (size_t)n}, true, e)))
        (void)err_wrap(e, "%s", path);
    if (fd >= 0)
        close(fd);
    if (n > 0)
        explicit_bzero(text, (size_t)n);
    free(text);
    return rc;
}

// Its own limits are those of ours once more: we count what it has before it does.
static int configure(struct kafka_sink *k, struct rd_kafka_conf_s *c, struct err *e)
{
    const struct settings *s = k->base.m->settings;
    char kilobytes[24], messages[24];
    snprintf(kilobytes, sizeof kilobytes, "%llu", (unsigned long long)(s->log_sink_bytes >> 10));
    snprintf(messages, sizeof messages, "%llu", (unsigned long long)(s->log_sink_bytes / MESSAGE_BYTES));
    int rc = set(k, c, "client.id", "slipway", false, e);
    if (rc == 0)
        rc = set_some(k, c, str_of(s->log_kafka_options), false, e);
    if (rc == 0)
        rc = set_from_file(k, c, s->log_kafka_options_file, e);
    if (rc == 0)
        rc = set(k, c, "bootstrap.servers", s->log_kafka_brokers, false, e);
    if (rc == 0)
        rc = set(k, c, "queue.buffering.max.kbytes", kilobytes, false, e);
    if (rc == 0)
        rc = set(k, c, "queue.buffering.max.messages", messages, false, e);
    k->k.conf_set_opaque(c, k);
    k->k.conf_set_dr_msg_cb(c, on_delivery);
    k->k.conf_set_error_cb(c, on_error);
    k->k.conf_set_log_cb(c, NULL); // it would write to standard error; on_error hears what matters
    return rc;
}

// ---- its life

static void close_all(struct kafka_sink *k)
{
    if (k->queue) {
        k->k.queue_io_event_enable(k->queue, -1, NULL, 0);
        k->k.queue_destroy(k->queue);
    }
    if (k->topic)
        k->k.topic_destroy(k->topic);
    if (k->producer)
        k->k.destroy(k->producer);
    if (k->told.fd >= 0) {
        loop_remove(k->base.m->loop, &k->told);
        close(k->told.fd);
    }
    k->queue = NULL;
    k->topic = NULL;
    k->producer = NULL;
    k->told.fd = -1;
}

static int start_producer(struct kafka_sink *k, struct err *e)
{
    char why[WHY_BYTES] = "";
    struct rd_kafka_conf_s *c = k->k.conf_new();
    int rc = c ? configure(k, c, e) : err_set(e, ERR_NOMEM, "no memory for Kafka");
    if (rc == 0 && !(k->producer = k->k.new(KAFKA_PRODUCER, c, why, sizeof why)))
        rc = err_set(e, ERR_INVALID, "librdkafka does not start: %s", why);
    if (rc && c)
        k->k.conf_destroy(c);
    return rc;
}

static int start(struct kafka_sink *k, struct err *e)
{
    static const uint64_t ONE = 1; // what is written to the eventfd; kept by the library
    int rc = kafka_library_open(k->base.m->settings->librdkafka_library, &k->k, e);
    if (rc == 0)
        rc = start_producer(k, e);
    if (rc)
        return rc;
    k->topic = k->k.topic_new(k->producer, k->base.m->settings->log_kafka_topic, NULL);
    if (!k->topic)
        return err_set(e, ERR_INVALID, "librdkafka does not take the topic: %s",
                       k->k.err2str(k->k.last_error()));
    k->queue = k->k.queue_get_main(k->producer);
    int fd = k->queue ? eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) : -1;
    if (fd < 0)
        return err_errno(e, errno, "listen to librdkafka");
    k->told = (struct watch){fd, on_told};
    rc = loop_add(k->base.m->loop, &k->told, EPOLLIN, e);
    if (rc) {
        close(fd);
        k->told.fd = -1;
        return rc;
    }
    k->k.queue_io_event_enable(k->queue, fd, &ONE, sizeof ONE);
    return 0;
}

static void finish(struct sink *s, uint64_t until_mono_ns)
{
    struct kafka_sink *k = of(s);
    uint64_t now = clock_mono_ns();
    if (!k->producer)
        return;
    (void)k->k.flush(k->producer, until_mono_ns > now ? (int)((until_mono_ns - now) / 1000000) : 0);
    if (s->counts.queued) {
        (void)k->k.purge(k->producer, KAFKA_PURGE_ALL);
        (void)k->k.flush(k->producer, PURGE_MS); // to be told of each
    }
    sink_dropped(s, SINK_DROP_STOPPED, s->counts.queued, s->counts.queued_bytes);
}

static void sink_free(struct sink *s)
{
    struct kafka_sink *k = of(s);
    close_all(k);
    free(k);
}

int sink_kafka_new(struct monitor *m, struct sink **ret, struct err *e)
{
    static const struct sink_ops OPS = {"kafka", take, tick, finish, sink_free};
    struct err why = {0};
    *ret = NULL;
    if (!m->settings->log_kafka_brokers[0])
        return 0;
    struct kafka_sink *k = calloc(1, sizeof *k);
    if (!k)
        return err_set(e, ERR_NOMEM, "no memory for the sink of Kafka");
    k->base.ops = &OPS;
    k->base.m = m;
    k->base.is_on = true;
    k->told.fd = -1;
    snprintf(k->base.to, sizeof k->base.to, "%.1000s/%.1000s", m->settings->log_kafka_brokers,
             m->settings->log_kafka_topic);
    *ret = &k->base;
    if (start(k, &why)) {
        char text[sizeof k->base.why];
        close_all(k);
        snprintf(text, sizeof text, "%s%s%s", why.msg, why.hint[0] ? ". " : "", why.hint);
        sink_failed(&k->base, text);
    } else {
        log_event(&m->log, LOG_LEVEL_INFO, "log_sink_started", LOG_Z("sink", "kafka"),
                  LOG_Z("to", k->base.to), LOG_Z("librdkafka", k->k.version_str()));
    }
    return 0;
}
