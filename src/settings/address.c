// SPDX-License-Identifier: Apache-2.0
// Addresses to listen on. Names are not resolved: what a server binds must not depend on a resolver's mood.
#include "settings/settings.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

static int bad(struct str text, struct err *e)
{
    return err_set(e, ERR_WRONG_TYPE,
                   "expected an IP address and a port, such as 127.0.0.1:8080 or [::1]:8080, got '%.*s'",
                   (int)(text.n < 80 ? text.n : 80), text.p);
}

int settings_address_parse(struct str text, struct sockaddr_storage *ret, socklen_t *ret_size, struct err *e)
{
    char host[INET6_ADDRSTRLEN];
    uint64_t port;
    size_t colon = text.n;
    while (colon > 0 && text.p[colon - 1] != ':')
        colon--;
    if (colon == 0 || !str_to_u64((struct str){text.p + colon, text.n - colon}, 65535, &port))
        return bad(text, e);
    struct str name = {text.p, colon - 1};
    bool v6 = name.n >= 2 && name.p[0] == '[' && name.p[name.n - 1] == ']';
    if (v6)
        name = (struct str){name.p + 1, name.n - 2};
    if (str_eq(name, STR("localhost")))
        name = STR("127.0.0.1");
    if (name.n >= sizeof host)
        return bad(text, e);
    if (name.n)
        memcpy(host, name.p, name.n);
    host[name.n] = '\0';

    memset(ret, 0, sizeof *ret);
    struct sockaddr_in *four = (struct sockaddr_in *)ret;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)ret;
    if (v6 ? inet_pton(AF_INET6, host, &six->sin6_addr) != 1 : inet_pton(AF_INET, host, &four->sin_addr) != 1)
        return bad(text, e);
    ret->ss_family = v6 ? AF_INET6 : AF_INET;
    if (v6)
        six->sin6_port = htons((uint16_t)port);
    else
        four->sin_port = htons((uint16_t)port);
    *ret_size = v6 ? sizeof *six : sizeof *four;
    return 0;
}
