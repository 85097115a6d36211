"""The guards of the sandbox: that its orders are its own, and that what did not happen yet has not happened."""

from __future__ import annotations

from verification.mutant_lists.mutant import Mutant

NUMBERS, MOMENTS = "tests/sandbox/test_numbers.py", "tests/sandbox/test_moments.py"
PRICES, OTHERS = "tests/sandbox/test_prices.py", "tests/sandbox/test_other_orders.py"
ODD, CONTROL, GUARD = (f"tests/sandbox/test_{name}.py" for name in ("odd_requests", "control", "browser_guard"))
STS, METADATA, ACCOUNTS, TEMPORARY = (
    f"tests/sandbox/test_{name}.py" for name in ("sts", "metadata", "accounts", "temporary_keys")
)
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
    Mutant(
        "an expired key signs on",
        "Gateway._signer",
        "if key.expires_at <= keys.now():",
        "if False:",
        f"{TEMPORARY}::test_an_expired_key_buys_nothing",
    ),
    Mutant(
        "the token of another key is as good",
        "Gateway._signer",
        'if headers.get("x-tc-token", "") != key.token:',
        "if False:",
        f"{TEMPORARY}::test_parts_of_two_keys_make_none",
    ),
    Mutant(
        "each temporary key has a rate limit of its own",
        "Gateway._check_rate",
        "self._recent[str(principal), action]",
        "self._recent[str(id(principal)), action]",
        f"{TEMPORARY}::test_two_temporary_keys_of_one_role_share_a_rate_limit",
    ),
    Mutant(
        "expire now leaves keys alive",
        "Keys.expire",
        "key.expires_at = min(key.expires_at, now)",
        "pass",
        f"{TEMPORARY}::test_expire_now_ends_every_temporary_key_and_no_permanent_one",
    ),
    Mutant(
        "every key spends the money of the first account",
        "Sandbox._signed_by",
        "self.accounts[principal.account]",
        "self.account",
        f"{ACCOUNTS}::test_the_key_of_one_account_neither_spends_nor_shows_what_the_other_has",
    ),
    Mutant(
        "the second account takes numbers of the first",
        "Sandbox.reset",
        "Account(self.options, self._random_of_others, OTHER_ACCOUNT)",
        "Account(self.options, self._random, OTHER_ACCOUNT)",
        f"{ACCOUNTS}::test_the_first_account_draws_its_numbers_as_if_it_were_alone",
    ),
    Mutant(
        "the profile file of a user is overwritten",
        "write_profile",
        "if os.path.lexists(path) and not",
        "if False and not",
        f"{ACCOUNTS}::test_a_profile_file_of_a_user_is_never_overwritten",
    ),
    Mutant(
        "a role trusts every account",
        "_assume_role",
        "if principal is None or principal.account not in role.trusts:",
        "if principal is None:",
        f"{STS}::test_a_role_gives_its_key_to_nobody_whom_it_does_not_trust",
    ),
    Mutant(
        "a web identity may end with a newline",
        "_assume_role_with_web_identity",
        " or token != token.strip()",
        "",
        f"{STS}::test_a_web_identity_that_is_wrong_gets_no_key",
    ),
    Mutant(
        "a role may call what is denied to it",
        "Gateway.admit",
        "if principal and not principal.may(action):",
        "if False:",
        f"{STS}::test_an_action_that_a_role_may_not_call_is_refused_and_buys_nothing",
    ),
    Mutant(
        "the machine gives the key of any role",
        "security_credentials",
        'if role is None or role_name not in ("", role.name):',
        "if role is None:",
        f"{METADATA}::test_another_role_is_a_page_of_html_and_404",
    ),
)
