"""The guards of the sandbox: that its orders are its own, and that what did not happen yet has not happened."""

from __future__ import annotations

from verification.mutant_lists.mutant import Mutant

NUMBERS, MOMENTS = "tests/sandbox/test_numbers.py", "tests/sandbox/test_moments.py"
PRICES, OTHERS = "tests/sandbox/test_prices.py", "tests/sandbox/test_other_orders.py"
ODD, CONTROL, GUARD = (f"tests/sandbox/test_{name}.py" for name in ("odd_requests", "control", "browser_guard"))
ONE_FAULT = f"{MOMENTS}::test_a_fault_strikes_before_the_request_is_carried_out_or_after_it"

SANDBOXES = (
    Mutant(
        "every sandbox numbers its orders alike",
        "Ids.__init__",
        "self._first_number = source.randrange(*_FIRST_NUMBERS)",
        "self._first_number = 710_000_000_000",
        f"{NUMBERS}::test_a_record_of_before_a_restart_owns_no_order_of_the_new_sandbox",
    ),
    Mutant(
        "a reset begins with the same numbers",
        "Sandbox.reset",
        "self.account = Account(self.options, self._random)",
        "self.account = Account(self.options)",
        f"{NUMBERS}::test_the_numbers_differ_from_one_reset_to_the_next",
    ),
    Mutant(
        "two instances get one id",
        "Ids.instance_id",
        "        self._instance_ids.add(instance_id)\n",
        "",
        f"{NUMBERS}::test_no_two_instances_have_the_same_id",
    ),
    Mutant(
        "a delayed request is carried out at once",
        "_Billing._answer",
        "        await _wait(receive, arrival.faults)\n        exchange = self._sandbox.carry_out(arrival)\n",
        "        exchange = self._sandbox.carry_out(arrival)\n        await _wait(receive, arrival.faults)\n",
        ONE_FAULT,
    ),
    Mutant(
        "a delayed request buys from the account of after a reset",
        "Sandbox._carried_out",
        "answer = handlers.answer(arrival.account, action, request, faults.fate(action))",
        "answer = handlers.answer(self.account, action, request, faults.fate(action))",
        f"{MOMENTS}::test_what_is_delayed_over_a_reset_buys_nothing_from_the_new_account",
    ),
    Mutant(
        "null is another purchase than nothing",
        "Gateway.admit",
        'if value is not None and value != ""}',
        "}",
        f"{ODD}::test_null_fields_buy_once_with_the_same_token",
    ),
    Mutant(
        "NaN counts as a number",
        "Range.has",
        "and self.least <= value <= self.most",
        "and not (value < self.least or value > self.most)",
        f"{CONTROL}::test_what_is_no_number_is_no_option_of_a_fault",
    ),
    Mutant(
        "true counts as a number",
        "Range.has",
        "and not isinstance(value, bool) ",
        "",
        f"{CONTROL}::test_what_is_no_number_does_not_move_the_clock",
    ),
    Mutant(
        "pages of other sites steer the sandbox",
        "Guard.__call__",
        "elif not is_page and comes_from_elsewhere(headers):",
        "elif False:",
        f"{GUARD}::test_the_page_of_another_site_reaches_nothing",
    ),
    Mutant(
        "a browser may call the billing API by any name",
        "Guard.__call__",
        " and not any(name in headers for name in _OF_BROWSERS)",
        "",
        f"{GUARD}::test_a_client_may_call_the_billing_api_by_another_name_and_a_browser_may_not",
    ),
    Mutant(
        "a form steers the sandbox",
        "_json_object",
        'if (body or kind) and kind.partition(";")[0].strip().lower() != "application/json":',
        "if False:",
        f"{GUARD}::test_what_a_form_can_send_is_no_control_call",
    ),
    Mutant(
        "an order that was never paid takes money",
        "Account._pay",
        "if terms.is_paid else 0",
        "if True else 0",
        f"{OTHERS}::test_an_order_that_was_never_paid_takes_no_money_and_brings_no_instance",
    ),
    Mutant(
        "vouchers pay the whole price",
        "Wallet.pay",
        "cost * self._most_voucher_percent // 100",
        "cost",
        f"{PRICES}::test_vouchers_pay_no_more_than_their_part_of_a_price",
    ),
    Mutant(
        "a price counts for every order",
        "Price.counts_for",
        "all(facts) and ",
        "",
        f"{PRICES}::test_a_price_counts_from_the_next_order_on_and_for_the_orders_that_it_names",
    ),
    Mutant(
        "sub-orders lose cents",
        "_equal_parts",
        " + (number < cents % count)",
        "",
        f"{OTHERS}::test_its_quantity_is_divided_too_and_its_cost_to_the_cent",
    ),
    Mutant(
        "a body is read whatever its length",
        "read_body",
        "        if size > most:\n            raise TooLarge\n",
        "",
        f"{ODD}::test_a_body_in_chunks_is_bounded_while_it_is_read",
    ),
)
