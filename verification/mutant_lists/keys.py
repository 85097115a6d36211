"""Mutants of the keys: their life, their sources, and the account that they must be of."""

from __future__ import annotations

from verification.mutant_lists.mutant import Mutant

CREDENTIALS = "tests/api/test_credentials.py"
THREADS = "tests/api/test_credentials_threads.py"
CALLER = "tests/api/test_caller_keys.py"
EDGES = "tests/api/test_key_edges.py"
SOURCES = "tests/api/test_key_sources.py"
ACCOUNTS = "tests/purchasing/test_another_account.py"
REPLACED = "tests/purchasing/test_key_being_replaced.py"
DOUBTFUL = "tests/purchasing/test_doubtful_expiry.py"

LIFE = (
    Mutant(
        "an expired key is used while its source is down",
        "Credentials._good",
        " or (key.expires_at is not None and self._clock() >= key.expires_at)",
        "",
        f"{CREDENTIALS}::test_an_expired_key_is_never_returned",
    ),
    Mutant(
        "a key that the server has refused is used again",
        "Credentials.key",
        "key is not self._refused and ",
        "",
        f"{CREDENTIALS}::test_a_refused_key_is_not_used_while_its_source_is_down",
    ),
    Mutant(
        "each thread refreshes the key that another one has just refreshed",
        "Credentials._refreshed",
        "if key and key is not refused and self._clock() < self._refresh_at:",
        "if False:",
        f"{CREDENTIALS}::test_twenty_threads_have_one_refresh_and_whole_keys",
    ),
    Mutant(
        "threads with a good key wait for the refresh of another thread",
        "Credentials._refreshed",
        "timeout=0.0 if good else ",
        "timeout=",
        f"{THREADS}::test_while_one_thread_refreshes_a_good_key_twenty_others_use_it_at_once",
    ),
    Mutant(
        "twenty threads ask a source that has just failed, one after the other",
        "Credentials._refreshed",
        "if self._failure and self._failed_at > began_at:",
        "if False:",
        f"{THREADS}::test_twenty_threads_hear_of_one_failure_and_the_next_call_tries_again",
    ),
    Mutant(
        "a refresh takes all the time of a purchase that has a good key",
        "Credentials._fetched",
        "within * PART_OF_THE_DEADLINE if good else within",
        "within",
        f"{CREDENTIALS}::test_a_source_is_told_how_long_it_may_take_and_gets_half_while_a_key_is_good",
    ),
    Mutant(
        "a source that is down is asked for each request",
        "Credentials._fetched",
        "self._clock() + min(AGAIN_SECONDS, left)",
        "self._clock()",
        f"{CREDENTIALS}::test_a_failed_refresh_is_a_warning_while_the_key_is_good_and_is_tried_again_after_a_while",
    ),
    Mutant(
        "a new key is not masked in logs",
        "Credentials._fetched",
        "if self._on_new_key:",
        "if False:",
        f"{CREDENTIALS}::test_every_new_key_is_made_known_before_it_is_used_and_once",
    ),
    Mutant(
        "a key is refreshed only when it has expired",
        "Credentials._due",
        "min(REFRESH_SECONDS, left / 2)",
        "0.0",
        f"{CREDENTIALS}::test_a_key_is_refreshed_with_ten_minutes_left_or_half_of_a_short_life",
    ),
    Mutant(
        "a time-out of the task leaves a lock behind",
        "Credentials._refreshed",
        "self._lock.release()",
        "pass",
        f"{THREADS}::test_a_time_out_of_the_task_as_soon_as_the_lock_is_taken_leaves_none_behind",
    ),
    Mutant(
        "a forked process waits for a thread that it does not have",
        "_Sources.begin_anew",
        "credentials.unlock()",
        "pass",
        f"{THREADS}::test_a_process_that_is_forked_while_a_key_is_refreshed_does_not_hang",
    ),
    Mutant(
        "a key is written into a pickle",
        "Key.__reduce__",
        'raise TypeError("a key is not written anywhere, so it cannot be pickled")',
        "return object.__reduce__(self)",
        f"{CREDENTIALS}::test_a_key_is_written_nowhere",
    ),
    Mutant(
        "a new key signs with what was derived from the old one",
        "Tc3Auth._scope_and_derived",
        "of is not key or ",
        "",
        f"{EDGES}::test_a_new_key_of_the_same_day_signs_with_its_own_secret",
    ),
    Mutant(
        "the token of one key goes with the signature of another",
        "Tc3Auth.headers",
        'headers["X-TC-Token"] = key.token',
        'headers["X-TC-Token"] = self.key.token',
        f"{EDGES}::test_a_key_that_is_replaced_while_it_signs_signs_to_the_end",
    ),
)

SENDING = (
    Mutant(
        "a key of another account than the connection's spends",
        "Caller._key_for",
        "if account != self._account_id:",
        "if False:",
        f"{CALLER}::test_a_key_of_another_account_sends_nothing",
    ),
    Mutant(
        "a query of the account that was lost counts as a purchase that was lost",
        "Caller._key_for",
        "if isinstance(error, (AuthError, CredentialsUnavailable)):",
        "if True:",
        f"{CALLER}::test_an_account_that_cannot_be_read_is_not_ambiguous_and_nothing_was_sent",
    ),
    Mutant(
        "a client follows its source to another account",
        "Caller.bind",
        "if not self.credentials.is_lasting:",
        "if False:",
        f"{CALLER}::test_a_bound_client_does_not_follow_its_source_to_another_account",
    ),
    Mutant(
        "a client sends with no second key of its account",
        "Caller.bind",
        "self._account_id = self._account_id or account",
        "pass",
        f"{ACCOUNTS}::test_a_key_that_rotates_within_its_account_changes_nothing",
    ),
    Mutant(
        "where nothing tells the account, a client follows its source",
        "Caller._key_for",
        'if self._only_key_id not in ("", key.name):',
        "if False:",
        f"{ACCOUNTS}::test_where_nothing_tells_the_account_another_key_neither_queries_nor_sends_after_a_lost_answer",
    ),
    Mutant(
        "a refusal that was made up is believed",
        "Caller._doubt",
        "if not (is_of_key and action.moves_money) or isinstance(self.credentials.source, FixedKey):",
        "if True:",
        f"{DOUBTFUL}::test_a_refusal_that_was_made_up_after_the_purchase_makes_no_second_one",
    ),
    Mutant(
        "a refusal that nothing confirms is believed",
        "Caller._doubt",
        "if isinstance(second, AuthError) and second.code in EXPIRED_CODES:",
        "if True:",
        f"{DOUBTFUL}::test_a_refusal_that_nothing_confirms_leaves_the_purchase_in_doubt",
    ),
    Mutant(
        "a refused key uses the token up",
        "ApiError.__init__",
        " and code not in EXPIRED_CODES",
        "",
        f"{DOUBTFUL}::test_a_refused_key_uses_no_token_up",
    ),
    Mutant(
        "a purchase that a permanent key began is of no account",
        "MoneyAction.bind",
        "self.client.bind(account or self.account(), key_id)",
        "self.client.bind(account, key_id if account else '')",
        f"{ACCOUNTS}::test_a_purchase_that_a_permanent_key_began_stays_in_the_account_of_that_key",
    ),
    Mutant(
        "the account of a key is asked for with each request",
        "Caller.account_of",
        "if not self._accounts.get(key.name):",
        "if True:",
        f"{CALLER}::test_the_right_account_is_compared_once_for_each_key",
    ),
    Mutant(
        "a key that is refused again is refreshed without end",
        "Caller.call",
        "may_refresh = False\n",
        "may_refresh = True\n",
        f"{CALLER}::test_a_key_that_is_refused_again_is_refreshed_no_second_time",
    ),
    Mutant(
        "a permission that is missing refreshes the key",
        "Caller._is_refreshed_after",
        "if not (isinstance(error, AuthError) and error.code in EXPIRED_CODES):",
        "if not isinstance(error, AuthError):",
        f"{EDGES}::test_a_refusal_for_another_reason_than_expiry_refreshes_no_key",
    ),
    Mutant(
        "a permanent key that is refused is sent again",
        "Caller._is_refreshed_after",
        "return self.credentials.after(refused, send_by - self._clock()) != refused",
        "return bool(self.credentials.after(refused, send_by - self._clock()))",
        f"{CALLER}::test_a_permanent_key_that_is_refused_is_not_sent_again",
    ),
    Mutant(
        "a key that expires before its account is read is of no account",
        "account:account_of",
        "if error.transient or (error.code in EXPIRED_CODES and not caller.credentials.is_lasting):",
        "if error.transient:",
        f"{EDGES}::test_a_key_that_expires_before_its_account_is_read_is_refreshed_and_buys",
    ),
    Mutant(
        "the account of a key that has just expired cannot be read",
        "BillingClient.account",
        "(newer := self.credentials.after(key)) == key:",
        "(newer := key):",
        f"{EDGES}::test_an_account_that_is_read_with_a_key_that_has_just_expired_is_read_again",
    ),
    Mutant(
        "a temporary key is of no account while STS is down",
        "account:account_of",
        "if key.is_temporary:",
        "if False:",
        f"{EDGES}::test_a_temporary_key_whose_account_sts_does_not_tell_now_is_tried_again_later",
    ),
    Mutant(
        "the order book of another account decides about a purchase",
        "step_if_unreadable",
        "if isinstance(error, AnotherAccount) or ",
        "if False or ",
        f"{ACCOUNTS}::test_in_the_same_try_after_a_lost_answer_nothing_is_sent_to_the_new_account",
    ),
    Mutant(
        "a key that is being replaced stops a purchase whose order book could be read soon",
        "step_if_unreadable",
        " or (is_patient and may_change and is_of_key(error))",
        "",
        f"{REPLACED}::test_a_key_that_is_replaced_while_the_order_book_is_queried_stops_nothing",
    ),
    Mutant(
        "a key that is being replaced stops a purchase that could be repeated soon",
        "step_after",
        " or (may_change and not is_over and is_of_key(error))",
        "",
        f"{REPLACED}::test_a_key_that_is_replaced_while_the_repeat_is_sent_stops_nothing",
    ),
    Mutant(
        "a purchase is sent with the key of another account than its record's",
        "Purchase._begin",
        "self._action.bound_account(is_wanted=self._authorization.is_in_force)",
        "self._action.account()",
        f"{ACCOUNTS}::test_between_the_intent_and_the_request_nothing_is_sent_to_the_new_account",
    ),
)

ORIGINS = (
    Mutant(
        "a presumed purchase is of no account, and stops when its key rotates",
        "Intents.presumed",
        "self.first(now, account=account)",
        "self.first(now)",
        f"{ACCOUNTS}::test_a_purchase_that_is_only_presumed_goes_on_with_the_next_key_of_its_account",
    ),
    Mutant(
        "a presumed purchase is sent with the key of another account than it was queried with",
        "Purchase.read",
        "self._action.bound_account()",
        "self._action.account()",
        f"{ACCOUNTS}::test_a_purchase_that_is_only_presumed_is_not_sent_to_another_account",
    ),
    Mutant(
        "a base key that has expired ends an assumed role",
        "AssumedRole.fetch",
        "if error.code not in EXPIRED_CODES or (newer := base.after(key, ends_at - time.monotonic())) == key:",
        "if (newer := key):",
        f"{SOURCES}::test_a_base_key_that_has_expired_is_refreshed_once",
    ),
    Mutant(
        "each key of a role has a queue of its own",
        "AssumedRole.identity",
        'return f"account:{account_in(self.role_arn)}"',
        'return f"account:{id(self)}"',
        f"{CALLER}::test_the_temporary_keys_of_a_role_have_one_queue_of_requests",
    ),
    Mutant(
        "the line break of a web identity is sent",
        "TkeOidc.fetch",
        "read_file(Path(file), where).strip()",
        "read_file(Path(file), where)",
        f"{SOURCES}::test_the_identity_of_a_pod_gives_a_key_and_its_file_is_read_anew",
    ),
    Mutant(
        "a key lives as long as a wrong clock says",
        "_key_from",
        "min(left, duration)",
        "left",
        f"{SOURCES}::test_where_two_clocks_of_the_server_disagree_a_key_lives_as_long_as_was_requested",
    ),
    Mutant(
        "a key of a role without a token",
        "_key_from",
        "if not key.token:",
        "if False:",
        f"{EDGES}::test_an_answer_of_sts_without_a_token_holds_no_key",
    ),
    Mutant(
        "a role that does not exist is tried without end",
        "_no_key",
        "CredentialsUnavailable if error.transient else CredentialsRefused",
        "CredentialsUnavailable",
        f"{SOURCES}::test_what_sts_refuses_is_refused_for_good_and_says_what_to_correct",
    ),
    Mutant(
        "an STS that hangs takes more time than there is",
        "_answer_to",
        "min(within, sum(TIMEOUT))",
        "4 * sum(TIMEOUT)",
        f"{EDGES}::test_an_sts_that_hangs_holds_nobody_longer_than_its_own_time",
    ),
    Mutant(
        "any host has an STS",
        "sts_endpoint_of",
        'if service != "billing" or not f".{site}".endswith(API_DOMAIN):',
        "if False:",
        f"{SOURCES}::test_the_sts_of_a_site_is_the_one_of_its_billing_api",
    ),
    Mutant(
        "two variables that differ give the first one",
        "Environment.fetch",
        "if len(set(found.values())) > 1",
        "if False",
        f"{SOURCES}::test_an_environment_that_is_not_clear_gives_no_key",
    ),
    Mutant(
        "a key is taken with the quotes around it",
        "Profile.fetch",
        """if values.get(part, "")[:1] in ("'", '"')]""",
        "if False]",
        f"{SOURCES}::test_a_profile_that_is_none_gives_no_key",
    ),
    Mutant(
        "a key of the metadata service that has expired is used",
        "key_of_role",
        "if left <= 0:",
        "if False:",
        f"{SOURCES}::test_a_key_that_has_expired_already_is_none_and_the_clock_is_named",
    ),
    Mutant(
        "the metadata service is reached through a proxy",
        "metadata:_read",
        "is_direct=True",
        "is_direct=False",
        f"{EDGES}::test_the_metadata_service_is_never_reached_through_a_proxy",
    ),
)

KEYS = (*LIFE, *SENDING, *ORIGINS)
