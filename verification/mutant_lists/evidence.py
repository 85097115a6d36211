"""The guards of what is known: that nothing was sent, that an answer is the right one, that no order is listed."""

from __future__ import annotations

from verification.mutant_lists.mutant import Mutant

WIRE, DEADLINE = "tests/api/test_transport.py", "tests/api/test_deadline.py"
BOOK, MATCH = "tests/purchasing/test_evidence.py", "tests/purchasing/test_match.py"
LOST = f"{WIRE}::test_what_is_lost_behind_a_proxy_may_have_been_carried_out_and_is_not_sent_again"
LEASE = f"{DEADLINE}::test_what_takes_longer_than_the_lease_sends_nothing"
ANSWERS = f"{BOOK}::test_no_distorted_answer_lets_anything_be_paid_twice"
FIELDS = f"{BOOK}::test_no_distorted_field_lets_anything_be_paid_twice"
ODD = f"{MATCH}::test_what_is_not_understood_cannot_be_told_and_is_named"

EVIDENCE = (
    Mutant(
        "a failure after the first byte is called unsent",
        "Transport._failed",
        "if is_watched and not exchange.has_begun:",
        "if is_watched:",
        LOST,
    ),
    Mutant(
        "the beginning of a request is not noticed",
        "Exchange.begin",
        "        self.has_begun = True\n",
        "",
        LOST,
    ),
    Mutant(
        "connections to a proxy are not watched",
        "WatchingAdapter.proxy_manager_for",
        "        _watch(manager)\n",
        "",
        LOST,
    ),
    Mutant(
        "what another adapter has sent is called unsent",
        "Transport._failed",
        "if is_watched and not exchange.has_begun:",
        "if not exchange.has_begun:",
        f"{WIRE}::test_what_another_adapter_has_sent_is_never_said_to_be_unsent",
    ),
    Mutant(
        "the request for a tunnel counts as the request",
        "_Watched.send",
        "if not self._is_connecting:",
        "if True:",
        f"{WIRE}::test_a_proxy_that_refuses_the_tunnel_means_that_nothing_was_sent",
    ),
    Mutant(
        "an endpoint that cannot be parsed is an error of the library",
        "Transport._failed",
        "all(isinstance(adapter, WatchingAdapter) for adapter in self.session.adapters.values())",
        "isinstance(self.session.get_adapter(self.endpoint), WatchingAdapter)",
        f"{WIRE}::test_an_endpoint_that_cannot_be_reached_means_that_nothing_was_sent",
    ),
    Mutant(
        "a proxy's password is shown",
        "_reason",
        '_USER_INFO.sub("***", harmless(cause, 200))',
        "harmless(cause, 200)",
        f"{WIRE}::test_a_proxy_that_cannot_be_used_means_that_nothing_was_sent",
    ),
    Mutant(
        "the lease is not checked before the first byte",
        "Exchange.begin",
        "if self._clock() > self._send_by or now > self._begin_at:",
        "if now > self._begin_at:",
        LEASE,
    ),
    Mutant(
        "a clock that is set back makes the lease longer",
        "Exchange.begin",
        "if self._clock() > self._send_by or now > self._begin_at:",
        "if self._clock() > self._send_by:",
        f"{DEADLINE}::test_a_clock_that_is_set_back_makes_the_lease_no_longer",
    ),
    Mutant(
        "a name look-up takes its time",
        "_Watched._new_conn",
        "sock = connect() if _is_address(self.host) else _within(seconds, connect)",
        "sock = connect()",
        f"{WIRE}::test_a_name_look_up_that_takes_long_is_given_up",
    ),
    Mutant(
        "each byte of an answer may take the whole time",
        "_Reader.readinto",
        "        self._sock.settimeout(self._exchange.seconds_left())\n",
        "",
        f"{DEADLINE}::test_an_answer_that_drips_is_given_up_at_the_deadline",
    ),
    Mutant(
        "an answer may outlast the deadline of the whole",
        "Exchange.begin",
        "self._until = min(now + self._answer_seconds, self._ends_at)",
        "self._until = now + self._answer_seconds",
        f"{DEADLINE}::test_no_phase_outlasts_the_deadline_of_the_whole",
    ),
    Mutant(
        "the second request of a wrong clock has a time of its own",
        "Transport._send_with_their_time",
        "ends_at=ends_at, ",
        "",
        f"{DEADLINE}::test_both_requests_of_a_wrong_clock_have_one_deadline",
    ),
    Mutant(
        "money is sent on a connection that was used",
        "Transport._drop_old_connections",
        "if action.moves_money or not self._is_reusable:",
        "if not self._is_reusable:",
        f"{WIRE}::test_money_and_the_query_after_it_use_a_connection_of_their_own",
    ),
    Mutant(
        "a query is sent on the connection of a purchase",
        "Transport._drop_old_connections",
        "if action.moves_money or not self._is_reusable:",
        "if action.moves_money:",
        f"{WIRE}::test_money_and_the_query_after_it_use_a_connection_of_their_own",
    ),
    Mutant(
        "the action is not signed",
        "Tc3Auth.headers",
        '({"x-tc-action": action} if action else {})',
        "{}",
        "tests/sandbox/test_server.py::test_our_client_signs_the_action",
    ),
    Mutant(
        "an order book without orders and count is empty",
        "Deals.from_wire",
        'deals, total = answer["Deals"], answer["TotalCount"]',
        'deals, total = answer.get("Deals"), answer.get("TotalCount", 0)',
        ANSWERS,
    ),
    Mutant(
        "a page without the orders that it counts is empty",
        "BillingClient.describe_deals",
        "if page == 0 and deals.total and not deals:",
        "if False:",
        f"{BOOK}::test_a_page_without_the_orders_that_it_counts_is_no_answer",
    ),
    Mutant(
        "the order book is read to the first short page",
        "whole_book",
        "if count == total:",
        "if len(deals) < limit:",
        ANSWERS,
    ),
    Mutant(
        "a server's own size of a page is not kept to",
        "whole_book",
        "if page == 0 and 0 < len(deals) < min(limit, deals.total):",
        "if False:",
        f"{BOOK}::test_a_server_that_lists_fewer_orders_a_page_is_read_to_the_end",
    ),
    Mutant(
        "an absurd time of an order is long ago",
        "_is_new",
        "return False if any(span[0] - DAY <= moment <= span[1] + DAY for moment in moments) else None",
        "return False",
        f"{BOOK}::test_a_time_far_outside_of_what_was_asked_for_is_not_believed",
    ),
    Mutant(
        "an order that may renew the instance already is passed over",
        "Renewal.observe",
        "if unclear and ORDER_ENDS[self.action.name].is_open(deal)",
        "if False",
        f"{BOOK}::test_no_distortion_hides_that_somebody_else_renews_or_refunds_the_instance_already",
    ),
    Mutant(
        "an order that may refund the instance already is passed over",
        "Refund._obstacles",
        "            if unclear:\n                yield",
        "            if unclear:\n                continue\n                yield",
        f"{BOOK}::test_no_distortion_hides_that_somebody_else_renews_or_refunds_the_instance_already",
    ),
    Mutant(
        "what cannot be told is another's",
        "match",
        "    if unclear:\n",
        "    if False:\n",
        FIELDS,
    ),
    Mutant(
        "an order of another product stops a purchase where its zone is unclear",
        "match",
        "if any(verdict is False and field.decides_alone for field, verdict in verdicts):",
        "if False:",
        f"{MATCH}::test_whatever_is_combined_an_order_is_another_s_only_if_it_is_understood",
    ),
    Mutant(
        "another case is another order",
        "folded",
        'return shown.strip().casefold() if isinstance(shown, str) else ""',
        'return shown if isinstance(shown, str) else ""',
        f"{MATCH}::test_another_way_to_write_the_same_matches",
    ),
    Mutant(
        "project -1 is another project",
        "project",
        "return None if number is None or number < 0 or",
        "return None if number is None or",
        ODD,
    ),
    Mutant(
        "a zone in another notation is another zone",
        "match:_code",
        "return False if re.fullmatch(notation, folded(shown)) else None",
        "return False",
        ODD,
    ),
    Mutant(
        "an unknown word for the action is another action",
        "action",
        "return folded(shown) == sent if folded(shown) in set(DealAction) else None",
        "return folded(shown) == sent",
        ODD,
    ),
)
