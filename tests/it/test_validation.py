# SPDX-License-Identifier: Apache-2.0
"""Client-side validation: a call to "/" names Action and Version, or is refused before it is sent."""

import pytest

from checks import assert_error, assert_ok


@pytest.fixture(scope="module")
def strict(module_daemon):
    return module_daemon(client_side_validation=None)  # the default is on


@pytest.mark.parametrize("query,missing", [
    ("", "Action"),
    ("?Version=2020-04-01", "Action"),
    ("?Action=&Version=2020-04-01", "Action"),
    ("?Action=Describe", "Version"),
    ("?Action=Describe&Version=", "Version"),
    ("?Action=Describe&Version=yesterday", "Version"),
    ("?Action=Describe&Version=2020-4-1", "Version"),
    ("?Action=Describe&Version=2020-04-01x", "Version"),
])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_is_missing_is_named(strict, upstream, method, query, missing):
    r = strict.request(method, "/" + query)
    assert_error(r, 400, "InvalidRequest", missing)
    assert upstream.requests == []


def test_a_whole_call_passes(strict, upstream):
    assert_ok(strict.request("GET", "/?Action=Describe&Version=2020-04-01"))
    assert_ok(strict.request("GET", "/?Version=2020-04-01&%41ction=Describe"))


def test_other_paths_need_neither(strict, upstream):
    assert_ok(strict.request("POST", "/api/v3/tasks", body=b"{}"))
    assert upstream.one().target == "/api/v3/tasks"


def test_switched_off_by_request_header(strict, upstream):
    option = "X-Sigferry-Client-Side-Validation"
    assert_ok(strict.request("GET", "/", [(option, "false")]))
    assert_error(strict.request("GET", "/", [(option, "true")]), 400, "InvalidRequest", "Action")
    assert_error(strict.request("GET", "/", [(option, "perhaps")]), 400, "InvalidOption",
                 [option, "perhaps"])
    assert len(upstream.requests) == 1


def test_switched_off_by_configuration(shared, upstream):
    assert_ok(shared.request("GET", "/"))
    r = shared.request("GET", "/", [("X-Sigferry-Client-Side-Validation", "true")])
    assert_error(r, 400, "InvalidRequest", "Action")
