/* SPDX-License-Identifier: Apache-2.0 */
/* The page's style and script. Nothing comes from elsewhere. The script, which the policy allows by
 * its hash, fetches the page anew and takes over what changed; without it the browser loads the
 * page every ten seconds. */
#include "daemon/status.h"

/* clang-format off */
const char status_page_head[] =
    "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<meta name=\"color-scheme\" content=\"light dark\">\n"
    "<noscript><meta http-equiv=\"refresh\" content=\"10\"></noscript>\n"
    "<title>sigferry</title>\n<style>\n"
    ":root{--fg:#1c2127;--bg:#fff;--dim:#5c6670;--line:#d8dde2;--box:#f4f6f8;--ok:#1a7f37;"
    "--bad:#c4262e;--warn:#8a5a00;--link:#0b57d0}\n"
    "@media(prefers-color-scheme:dark){:root{--fg:#e6e9ec;--bg:#14181c;--dim:#98a2ac;"
    "--line:#333b43;--box:#1d2329;--ok:#4cc26a;--bad:#ff7b72;--warn:#e3b341;--link:#8ab4f8}}\n"
    "*{box-sizing:border-box}\n"
    "body{font:16px/1.45 system-ui,sans-serif;color:var(--fg);background:var(--bg);"
    "max-width:68rem;margin:0 auto;padding:1rem}\n"
    "a{color:var(--link)}h1{font-size:1.4rem;margin:.2rem 0}h2{font-size:1.1rem;margin:1.6rem 0 .3rem}\n"
    ".ok{color:var(--ok)}.bad{color:var(--bad)}.warn{color:var(--warn)}.dim{color:var(--dim)}\n"
    ".tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(11rem,1fr));gap:.6rem;"
    "margin:.8rem 0}\n"
    ".tiles div{background:var(--box);border-radius:.4rem;padding:.5rem .7rem;color:var(--dim);"
    "font-size:.85rem}\n"
    ".tiles b{display:block;font-size:1.25rem;color:var(--fg);font-variant-numeric:tabular-nums}\n"
    ".tiles b.bad{color:var(--bad)}\n"
    "table{border-collapse:collapse;width:100%}\n"
    "th,td{text-align:left;padding:.3rem .9rem .3rem 0;border-bottom:1px solid var(--line);"
    "vertical-align:top;overflow-wrap:break-word}td.i{overflow-wrap:anywhere}\n"
    "th{font-weight:600;color:var(--dim);overflow-wrap:normal}"
    "td.n,th.n{text-align:right;padding-right:0;padding-left:.9rem;font-variant-numeric:tabular-nums}"
    "td.w{white-space:nowrap}\n"
    "code{font-size:.85em}pre{white-space:pre-wrap;overflow-wrap:anywhere;font-size:.85rem}"
    "summary{cursor:pointer}#lost{display:none}.lost #lost{display:block}"
    ".lost main{opacity:.5}\n"
    "@media(max-width:44rem){.list tr:first-child{display:none}"
    ".list tr{display:block;padding:.4rem 0;border-bottom:1px solid var(--line)}"
    ".list td{display:flex;gap:.8rem;border:0;padding:.05rem 0;text-align:left;overflow-wrap:anywhere}td{overflow-wrap:anywhere}"
    ".list td.n{padding:.05rem 0}.list td:empty{display:none}td.w{white-space:normal}"
    ".list td::before{content:attr(data-l);color:var(--dim);flex:0 0 7.5rem}}\n"
    "</style>\n"
    "<script>"
    "setInterval(function(){"
    "if(document.hidden)return;"
    "fetch(location.href,{cache:'no-store'}).then(function(r){if(!r.ok)throw r;return r.text()})"
    ".then(function(t){var d=new DOMParser().parseFromString(t,'text/html');"
    "['main','pre'].forEach(function(s){var a=document.querySelector(s),b=d.querySelector(s);"
    "if(a.innerHTML!==b.innerHTML)a.innerHTML=b.innerHTML});"
    "document.body.className=''})"
    ".catch(function(){document.body.className='lost'})},2000)"
    "</script>\n<body>\n"
    "<p id=\"lost\" class=\"bad\">sigferry does not answer any more; what follows is old.</p>\n";

const char status_page_csp[] =
    "default-src 'none'; style-src 'unsafe-inline'; "
    "script-src 'sha256-G+TcUnTuM6P4uuqg2yNS+vWbCHyCtLOxCdhA4n/lN+w='; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
/* clang-format on */
