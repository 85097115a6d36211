"""The guards against what servers, connections and records may hold."""

from __future__ import annotations

from scripts.mutant_lists.mutant import Mutant

ANSWERS, CLOCK, RECORDS = "tests/api/test_odd_answers.py", "tests/api/test_clock.py", "tests/api/test_odd_records.py"
CONNECTIONS, LEDGER = "tests/airflow/test_odd_connections.py", "tests/airflow/test_damaged_ledger.py"

INPUTS = (
    Mutant(
        "a correction of the clock stays although nothing confirms it",
        "api/wire.py",
        "            self.auth.clock_offset = before\n",
        "            pass\n",
        f"{CLOCK}::test_a_correction_is_taken_back_unless_a_request_succeeds_with_it",
    ),
    Mutant(
        "a correction of the clock without bounds",
        "api/wire.py",
        "return ahead if abs(ahead) <= FARTHEST_CLOCK else None",
        "return ahead",
        f"{CLOCK}::test_a_clock_that_is_absurd_or_explains_nothing_is_not_tried",
    ),
    Mutant(
        "any date widens the search",
        "api/wire.py",
        "if ahead is not None and abs(ahead - self.auth.clock_offset) <= 2 * MAX_CLOCK_DIFFERENCE:",
        "if ahead is not None:",
        f"{CLOCK}::test_only_a_date_with_which_the_signature_was_valid_counts_for_the_search",
    ),
    Mutant(
        "a redirect is looked at",
        "api/wire.py",
        "session = _Session()",
        "session = requests.Session()",
        f"{ANSWERS}::test_a_redirect_is_not_looked_at_whatever_its_address",
    ),
    Mutant(
        "the body of what is no answer is read",
        "api/wire.py",
        '    if response.status_code != 200:\n        return b""\n',
        "",
        f"{ANSWERS}::test_of_an_answer_of_600_megabytes_only_a_few_are_read",
    ),
    Mutant(
        "an answer of any size",
        "api/exchange.py",
        "if self._bytes_left < 0:",
        "if False:",
        f"{ANSWERS}::test_of_an_answer_of_600_megabytes_only_a_few_are_read",
    ),
    Mutant(
        "the last of two order numbers counts",
        "api/reading.py",
        "                read[name] = values\n",
        "                pass\n",
        f"{ANSWERS}::test_an_answer_that_does_not_name_one_order_leaves_the_outcome_unknown",
    ),
    Mutant(
        "a part of a status counts as a status",
        "api/models.py",
        'status=whole_of(deal.get("Status")) or 0,',
        'status=int(number_of(deal.get("Status")) or 0),',
        f"{ANSWERS}::test_a_status_that_cannot_be_one_is_no_ending",
    ),
    Mutant(
        "a broken row stops the page",
        "api/models.py",
        "        deal = deal if isinstance(deal, Mapping) else {}\n",
        "",
        f"{ANSWERS}::test_one_broken_row_hides_none_of_the_other_199",
    ),
    Mutant(
        "a broken cursor is the last page",
        "api/models.py",
        "if not isinstance(listed, list) or not isinstance(cursor, (str, type(None))):",
        "if not isinstance(listed, list):",
        f"{ANSWERS}::test_a_broken_instance_hides_none_of_the_others_and_a_broken_cursor_is_no_last_page",
    ),
    Mutant(
        "an odd answer says that the flag was set",
        "api/models.py",
        "    if not isinstance(listed, (list, type(None))):\n",
        "    if False:\n",
        f"{ANSWERS}::test_that_a_renewal_was_set_is_not_believed_of_an_answer_that_is_odd",
    ),
    Mutant(
        "signed requests in the clear",
        "api/access.py",
        'if address.startswith("http:") and not (allow_http or _is_loopback(address)):',
        "if False:",
        f"{ANSWERS}::test_a_client_signs_nothing_in_the_clear_for_another_machine",
    ),
    Mutant(
        "a record names any order",
        "api/stored.py",
        "if value is not None and not matching(value, NUMBER):",
        "if False:",
        f"{RECORDS}::test_what_decides_is_what_it_should_be_or_the_record_is_not_used",
    ),
    Mutant(
        "a request is under way for years",
        "api/stored.py",
        'if until - max(began, fields["changed_at"]) > LONGEST_LEASE or began - until > LONGEST_LEASE:',
        "if False:",
        f"{RECORDS}::test_a_request_that_would_be_under_way_for_weeks_is_damage",
    ),
    Mutant(
        "an order in a state that has none",
        "api/record.py",
        "if (record.state in (State.ORDERED, State.DELIVERED)) != bool(record.order_id):",
        "if record.state in (State.ORDERED, State.DELIVERED) and not record.order_id:",
        f"{RECORDS}::test_an_order_in_a_state_that_has_none_is_not_bought_again",
    ),
    Mutant(
        "a record from the future",
        "api/memory.py",
        "if record.changed_at > self._clock() + LATEST_CHANGE:",
        "if False:",
        f"{RECORDS}::test_a_record_from_the_future_is_not_waited_for",
    ),
    Mutant(
        "a damaged record owns nothing",
        "api/memory.py",
        "    return order_of(stored), overlaps and ",
        '    return "", overlaps and ',
        f"{RECORDS}::test_a_damaged_record_owns_the_order_that_it_names",
    ),
    Mutant(
        "a damaged record is nobody's rival",
        "api/memory.py",
        "overlaps and is_alike and not is_declined(stored)",
        "False",
        f"{RECORDS}::test_an_order_that_a_damaged_record_may_own_is_not_adopted",
    ),
    Mutant(
        "what is no object is nobody's rival",
        "api/memory.py",
        '        return "", True\n',
        '        return "", False\n',
        f"{RECORDS}::test_an_order_that_something_unreadable_may_own_is_not_adopted",
    ),
    Mutant(
        "a payload of which a part is missing speaks against an order",
        "api/memory.py",
        "return not tells_what_was_asked(payload, action) or looks_alike(payload)",
        "return isinstance(payload, Mapping) and looks_alike(payload)",
        f"{RECORDS}::test_an_order_that_a_damaged_record_may_own_is_not_adopted",
    ),
    Mutant(
        "a damaged record of long ago is a rival for ever",
        "api/memory.py",
        "lease = lease_of(stored) or (",
        "lease = (",
        f"{RECORDS}::test_a_damaged_record_that_is_surely_of_something_else_stops_nobody",
    ),
    Mutant(
        "one record that is nested too deep closes the ledger",
        "stores.py",
        "                except (ValueError, RecursionError):\n",
        "                except ValueError:\n",
        f"{LEDGER}::test_one_damaged_record_is_listed_as_such_and_stops_nobody",
    ),
    Mutant(
        "an extra that is no JSON is forgotten, and the ledger with it",
        "connection.py",
        'extra = json.loads(getattr(connection, "extra", None) or "{}")',
        "extra = {}",
        f"{CONNECTIONS}::test_an_extra_that_is_no_object_is_a_mistake_and_not_forgotten",
    ),
    Mutant(
        "a settled order without a number",
        "api/orderbook.py",
        "return replace(found, order_id=found.order_id or group)",
        "return found",
        f"{LEDGER}::test_an_order_without_a_number_of_its_own_is_settled_by_that_of_its_big_deal",
    ),
)
