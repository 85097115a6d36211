"""The guards of many at once: deadlines in a crowd, and one watch for all that wait."""

from __future__ import annotations

from verification.mutant_lists.mutant import Mutant

WATCHLIST, SHARING = "tests/waiting/test_watchlist.py", "tests/triggers/test_shared_watch.py"
SESSION = "tests/hooks/test_session.py"

SCALE = (
    Mutant(
        "a pause outlasts the deadline",
        "Caller._pause",
        "self._clock() + pause > send_by",
        "self._clock() > send_by",
        "tests/api/test_client_network.py::test_a_pause_never_outlasts_the_deadline_of_a_request",
    ),
    Mutant(
        "a crowd that is refused comes back too soon",
        "Caller._pause",
        "BACKOFF_CAP * patience",
        "BACKOFF_CAP",
        "tests/api/test_client_network.py::test_pauses_grow_and_are_longer_where_there_are_too_many_requests",
    ),
    Mutant(
        "a deadline that does not hold in a queue",
        "DeliveryWatch._deals",
        "send_by = max(self.deadline, self._clock()) + self._grace",
        "send_by = math.inf",
        "tests/waiting/test_delivery.py::test_a_deadline_holds_while_the_server_refuses_every_look",
    ),
    Mutant(
        "woken with one of several sub-orders",
        "AwaitedOrder.has_ended",
        "return len(mine) == len(self.numbers) > 0 and all(map(ends.is_done, mine))",
        "return any(map(ends.is_done, mine))",
        f"{WATCHLIST}::test_all_sub_orders_are_waited_for_whichever_number_names_them",
    ),
    Mutant(
        "woken by a delivery that names no instance",
        "AwaitedOrder.has_ended",
        "all(map(ends.is_done, mine))",
        "all(deal.status == 4 for deal in mine)",
        f"{WATCHLIST}::test_a_delivered_order_without_instances_is_waited_for_on",
    ),
    Mutant(
        "an order that died not noticed",
        "AwaitedOrder.has_ended",
        "if any(deal.status in ends.endings for deal in mine):",
        "if False:",
        f"{WATCHLIST}::test_every_end_wakes_and_no_other_status",
    ),
    Mutant(
        "woken by what nobody asked for",
        "Watchlist._query_by_number",
        "if deal.big_deal_id == group] if group else []",
        "] if group else []",
        f"{WATCHLIST}::test_an_order_book_that_returns_more_than_it_was_asked_for_wakes_nobody_else",
    ),
    Mutant(
        "row offsets taken for pages",
        "Watchlist._list",
        "if is_dear or not is_page:",
        "if is_dear:",
        f"{WATCHLIST}::test_pages_that_are_row_offsets_are_noticed_and_every_order_is_asked_for",
    ),
    Mutant(
        "a list that is dear read to its end",
        "Watchlist._list",
        "if is_dear or not is_page:",
        "if not is_page:",
        f"{WATCHLIST}::test_a_list_that_is_dearer_than_the_orders_is_left_after_its_first_page",
    ),
    Mutant(
        "orders that are asked for by number do not take turns",
        "Watchlist._query_by_number",
        "order.queried += 1",
        "order.queried += 0",
        f"{WATCHLIST}::test_pages_that_are_row_offsets_are_noticed_and_every_order_is_asked_for",
    ),
    Mutant(
        "a connection that is not there waited for",
        "WaitingClient.is_given_up_after",
        "is_hopeless = self._session is None and",
        "is_hopeless = False and",
        f"{SHARING}::test_a_connection_that_this_process_has_never_seen_wakes_the_task_at_once",
    ),
    Mutant(
        "a passing failure told to the tasks",
        "WaitingClient.is_given_up_after",
        "self._refusals += PATIENCE if is_hopeless else 1",
        "self._refusals += PATIENCE",
        f"{SHARING}::test_a_failure_that_passes_wakes_nobody",
    ),
    Mutant(
        "a failure that stays never told",
        "WaitingClient.is_given_up_after",
        "if self._refusals < PATIENCE:",
        "if True:",
        f"{SHARING}::test_a_failure_that_stays_is_told_to_all_and_fails_nobodys_trigger",
    ),
    Mutant(
        "an old key used for ever",
        "WaitingClient.is_given_up_after",
        "        self._read_at = -math.inf\n",
        "",
        f"{SHARING}::test_a_key_that_was_changed_meanwhile_is_used",
    ),
    Mutant(
        "connections share a watch",
        "SharedWatch.of",
        "            watches[tcbilling_conn_id] = cls(tcbilling_conn_id)\n",
        "            watches[tcbilling_conn_id] = next(iter(watches.values()), cls(tcbilling_conn_id))\n",
        f"{SHARING}::test_two_accounts_are_never_mixed",
    ),
    Mutant(
        "the watch goes on when nobody waits",
        "SharedWatch._leave",
        "            self._task.cancel()\n",
        "            pass\n",
        f"{SHARING}::test_the_last_who_waits_ends_it",
    ),
    Mutant(
        "a deadline that the clock jumped over is slept through",
        "SharedWatch.ended",
        "timeout=min(left, HEED_CLOCK_SECONDS)",
        "timeout=left",
        f"{SHARING}::test_a_wall_clock_that_is_set_forward_ends_the_wait_at_its_deadline",
    ),
    Mutant(
        "what the watch logs is in a task's log",
        "SharedWatch._join",
        "contextvars.Context().run(asyncio.get_running_loop().create_task, self._run())",
        "asyncio.get_running_loop().create_task(self._run())",
        f"{SHARING}::test_what_it_logs_belongs_to_no_task",
    ),
    Mutant(
        "a client left open",
        "Session.close",
        "                client.close()\n",
        "                pass\n",
        f"{SESSION}::test_an_execution_that_defers_leaves_no_client_open_nor_does_the_one_that_resumes",
    ),
    Mutant(
        "the shared client left open",
        "SharedWatch._leave",
        "            self._client.close()\n",
        "            pass\n",
        f"{SESSION}::test_the_shared_client_is_closed_when_the_last_waiting_task_has_left",
    ),
    Mutant(
        "the client of a query that outlives its wait left open",
        "in_thread",
        "        running.add_done_callback(ended)\n",
        "        pass\n",
        f"{SESSION}::test_a_query_that_outlives_its_wait_ends_before_its_client_is_closed_for_the_last_time",
    ),
)
