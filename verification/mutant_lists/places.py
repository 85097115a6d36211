"""The guards of places: one name for one server, and a ledger that lets only one of two create a record."""

from __future__ import annotations

from verification.mutant_lists.mutant import Mutant

ENDPOINT, EXCLUSIVITY = "tests/api/test_endpoint.py", "tests/ledger/test_exclusivity.py"
ONE_NAME = f"{ENDPOINT}::test_every_spelling_of_a_server_has_its_one_name_and_no_other_server_has_it"
REFUSED = f"{ENDPOINT}::test_what_is_no_address_or_more_than_one_is_refused_without_showing_a_password"
NOT_EXCLUSIVE = (
    f"{EXCLUSIVITY}::"
    "test_storage_that_lets_several_create_or_cannot_be_tried_is_not_exclusive_and_the_log_says_once_why"
)
TRIED_ONCE = (
    f"{EXCLUSIVITY}::test_it_is_tried_once_for_each_process_and_ledger_and_leaves_nothing_that_looks_like_a_record"
)

PLACES = (
    Mutant(
        "this machine is several servers",
        "Endpoint.name",
        '"127.0.0.1" if self.is_loopback else self.host',
        "self.host",
        ONE_NAME,
    ),
    Mutant(
        "a scheme's own port makes another server",
        "parsed",
        "None if port == DEFAULT_PORTS[scheme] else port, is_bare",
        "port, is_bare",
        f"{ENDPOINT}::test_what_earlier_versions_called_a_server_is_its_name_still",
    ),
    Mutant(
        "a last dot makes another server",
        "_host",
        'written.removesuffix(".").lower()',
        "written.lower()",
        ONE_NAME,
    ),
    Mutant(
        "a mapped address makes another server",
        "_host",
        "str(address.ipv4_mapped or address)",
        "str(address)",
        ONE_NAME,
    ),
    Mutant(
        "blanks around an address make another server",
        "parsed",
        "_ADDRESS.fullmatch(endpoint.strip())",
        "_ADDRESS.fullmatch(endpoint)",
        ONE_NAME,
    ),
    Mutant(
        "a user, a path or a query in the address taken",
        "cleaned",
        "if not found.is_bare:",
        "if False:",
        REFUSED,
    ),
    Mutant(
        "a label that is too long taken",
        "_host",
        "if len(name) > MAX_HOST or max(map(len, labels)) > MAX_LABEL:",
        "if False:",
        REFUSED,
    ),
    Mutant(
        "an empty label taken",
        "_host",
        "if not all(map(_LABEL.fullmatch, labels)):",
        "if False:",
        REFUSED,
    ),
    Mutant(
        "a number that is no address taken",
        "_host",
        "str(IPv4Address(name)) if _NUMBER.fullmatch(labels[-1]) else name",
        "name",
        REFUSED,
    ),
    Mutant(
        "a port that is none taken",
        "parsed",
        "if not 0 < port < 2**16:",
        "if False:",
        REFUSED,
    ),
    Mutant(
        "another scheme taken",
        "parsed",
        "if scheme not in DEFAULT_PORTS:",
        "DEFAULT_PORTS.setdefault(scheme, 443)\n        if False:",
        REFUSED,
    ),
    Mutant(
        "a password in the address shown",
        "endpoint:shown",
        "'***@' if user else ''",
        "user",
        REFUSED,
    ),
    Mutant(
        "each spelling with a limit of its own",
        "RateLimiter.__init__",
        "{server_name(endpoint)} {identity}",
        "{endpoint} {identity}",
        f"{ENDPOINT}::test_two_spellings_of_a_server_share_its_limit_of_requests",
    ),
    Mutant(
        "a worker that writes the server differently is no rival",
        "Record.is_at_another_server",
        "return server_name(self.endpoint) != server_name(endpoint)",
        "return self.endpoint != endpoint",
        f"{ENDPOINT}::test_two_workers_that_write_the_server_differently_see_each_other_as_rivals",
    ),
    Mutant(
        "a worker that writes the server differently cannot go on",
        "differences_of",
        '"endpoint": (server_name(record.endpoint), server_name(wanted.endpoint)),',
        '"endpoint": (record.endpoint, wanted.endpoint),',
        f"{ENDPOINT}::test_two_workers_that_write_the_server_differently_have_one_record",
    ),
    Mutant(
        "a record of an unknown server passed over",
        "Record.from_json",
        "                parsed(record.endpoint)\n",
        "                pass\n",
        f"{ENDPOINT}::test_a_record_whose_server_cannot_be_told_is_damaged",
    ),
    Mutant(
        "storage believed that looks first and creates then",
        "ObjectStore._flaw",
        "won = [*racers.map(create, texts[:2])]",
        "won = [self._create(path, text) for text in texts[:2]]",
        NOT_EXCLUSIVE,
    ),
    Mutant(
        "storage believed that says no and overwrites",
        "ObjectStore._flaw",
        "if self._fs.cat_file(path) != texts[won.index(True)]:",
        "if False:",
        NOT_EXCLUSIVE,
    ),
    Mutant(
        "storage believed that could not be tried",
        "ObjectStore._flaw",
        'return f"the test of it failed: {error!r}"',
        'return ""',
        NOT_EXCLUSIVE,
    ),
    Mutant(
        "storage tried again for each purchase",
        "ObjectStore.creates_exclusively",
        "if self._uri not in _EXCLUSIVE:",
        "if True:",
        TRIED_ONCE,
    ),
    Mutant(
        "test objects left in the ledger",
        "ObjectStore._flaw",
        "            self._discard(path)\n",
        "            pass\n",
        TRIED_ONCE,
    ),
    Mutant(
        "a test object that cannot be deleted stops the purchase",
        "ObjectStore._discard",
        '        except Exception as error:\n            log.info("The test object',
        '        except ZeroDivisionError as error:\n            log.info("The test object',
        TRIED_ONCE,
    ),
    Mutant(
        "test objects of two processes in each other's way",
        "ObjectStore._flaw",
        "{uuid.uuid4().hex}.canary",
        "0.canary",
        f"{EXCLUSIVITY}::test_two_processes_that_try_it_at_once_do_not_disturb_each_other",
    ),
    Mutant(
        "test objects taken for records",
        "ObjectStore._flaw",
        ".hex}.canary",
        ".hex}.json",
        TRIED_ONCE,
    ),
)
