/* SPDX-License-Identifier: Apache-2.0 */
/* A library for LD_PRELOAD that counts, in a shared page: [0] connections that libmicrohttpd was
 * told to resume, [1] its runs with a resume before them: each of these walks all that are
 * suspended; [2] connections that were suspended. */
#include "shim_page.h"

#include <dlfcn.h>
#include <microhttpd.h>
#include <stdbool.h>
#include <stdlib.h>

static _Thread_local bool resumed;

__attribute__((constructor)) static void attach(void)
{
    page_attach(getenv("SHIM_PAGE"));
}

void MHD_suspend_connection(struct MHD_Connection *connection)
{
    void (*real)(struct MHD_Connection *) =
        (void (*)(struct MHD_Connection *))dlsym(RTLD_NEXT, "MHD_suspend_connection");
    if (page)
        page[2]++;
    real(connection);
}

void MHD_resume_connection(struct MHD_Connection *connection)
{
    void (*real)(struct MHD_Connection *) =
        (void (*)(struct MHD_Connection *))dlsym(RTLD_NEXT, "MHD_resume_connection");
    if (page)
        page[0]++;
    resumed = true;
    real(connection);
}

enum MHD_Result MHD_run(struct MHD_Daemon *daemon)
{
    enum MHD_Result (*real)(struct MHD_Daemon *) =
        (enum MHD_Result(*)(struct MHD_Daemon *))dlsym(RTLD_NEXT, "MHD_run");
    if (page && resumed)
        page[1]++;
    resumed = false;
    return real(daemon);
}
