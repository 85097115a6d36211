"""The guards of secrets, and of purchases whose secrets cannot be compared."""

from __future__ import annotations

from verification.mutant_lists.mutant import Mutant

SEALED, MASKED = "tests/purchasing/test_record_secrets.py", "tests/api/test_masking.py"
RAISED, AIRFLOW = "tests/api/test_error_secrets.py", "tests/operators/test_secrets.py"
FOUND = f"{MASKED}::test_a_secret_is_found_by_what_it_is"

SECRETS = (
    Mutant(
        "a plain hash is stored",
        "Seal.sealed",
        'seal = hmac.digest(self._key, fingerprint.encode(errors="surrogatepass"), "sha256").hex()',
        "seal = fingerprint",
        f"{SEALED}::test_a_masked_password_cannot_be_found_out_by_trying",
    ),
    Mutant(
        "another key makes an edited purchase",
        "is_same",
        "return None if stored",
        "return False if stored",
        f"{SEALED}::test_after_a_key_was_rotated_a_masked_secret_is_not_compared_and_the_log_says_so_once",
    ),
    Mutant(
        "an edited secret is not noticed",
        "is_same",
        'stored.rpartition(":")[0] != sealed.rpartition(":")[0] else False',
        "True else False",
        f"{SEALED}::test_an_edited_secret_is_noticed_with_the_same_key",
    ),
    Mutant(
        "a mistyped SecretKey makes an edited purchase",
        "Seal.__init__",
        'self._name = hmac.digest(self._key, b"name", "sha256").hex()[:16]',
        'self._name = ""',
        f"{SEALED}::test_a_corrected_secret_key_does_not_make_an_edited_purchase_of_it",
    ),
    Mutant(
        "a record of version 1 is an edited purchase",
        "Ownership._read",
        "if self._action and record.fingerprint == self._action.plain_fingerprint:",
        "if False:",
        f"{SEALED}::test_a_record_of_version_1_is_read_and_compared_as_before",
    ),
    Mutant(
        "an earlier version takes a record for an edited purchase",
        "record:VERSION",
        "VERSION = 2",
        "VERSION = 1",
        f"{SEALED}::test_a_record_is_of_a_version_that_earlier_ones_of_this_package_refuse",
    ),
    Mutant(
        "a decision keeps the plain hash",
        "Settlement._own",
        "self.client.seal(record.fingerprint)",
        "record.fingerprint",
        f"{AIRFLOW}::test_a_decision_about_a_record_of_version_1_stores_no_plain_hash",
    ),
    Mutant(
        "what version 1 did not mask is a difference",
        "Record.from_json",
        'payload = payload_without_secrets(fields.get("payload", {}))',
        'payload = fields.get("payload", {})',
        f"{SEALED}::test_a_part_that_version_1_did_not_mask_is_no_difference_and_is_not_shown",
    ),
    Mutant(
        "what tells the orders of a purchase is masked",
        "payload_without_secrets",
        "without_secrets(v) if _is_object_text(v) else v",
        "without_secrets(v)",
        f"{MASKED}::test_a_payload_keeps_what_tells_which_order_may_be_the_purchase",
    ),
    Mutant(
        "the beside of a secret's name masks everything",
        "_masked_fields",
        "or (is_pair and _ends_with(_VALUE, name))",
        "or is_pair",
        f"{MASKED}::test_a_payload_keeps_what_tells_which_order_may_be_the_purchase",
    ),
    Mutant(
        "the value beside a secret's name is stored",
        "_masked_fields",
        "or (is_pair and _ends_with(_VALUE, name))",
        "or False",
        FOUND,
    ),
    Mutant(
        "a value that a name hides behind another is not searched",
        "_unambiguous",
        "if len(read) < len(pairs):",
        "if False:",
        FOUND,
    ),
    Mutant("base64 is stored", "_hides_in_base64", "if not _BASE64.fullmatch(text):", "if True:", FOUND),
    Mutant(
        "depth is an error",
        "_masked",
        "if depth > MAX_DEPTH:",
        "if False:",
        f"{MASKED}::test_depth_ends_in_a_mask_and_not_in_an_error",
    ),
    Mutant(
        "what the server repeats is stored",
        "Ownership._without_secrets",
        "return without_these(self._action.secrets, reason) if self._action else reason",
        "return reason",
        f"{SEALED}::test_a_secret_that_the_server_repeats_is_not_stored",
    ),
    Mutant(
        "an error leads to the request",
        "Transport.send",
        "            failed = self._failed(action, exchange, error)\n",
        "            raise self._failed(action, exchange, error) from None\n",
        f"{RAISED}::test_a_refused_connection_leads_to_no_secret",
    ),
    Mutant(
        "a stopped task shows the signed headers",
        "Transport.send",
        "raise stop.with_traceback(None) from None",
        "raise",
        f"{RAISED}::test_a_task_that_is_stopped_within_a_request_shows_no_secret",
    ),
    Mutant(
        "a client that cannot be made shows its key",
        "Caller.__init__",
        "del secret_key, token",
        "pass",
        f"{RAISED}::test_an_endpoint_that_is_none_leads_to_no_secret",
    ),
    Mutant(
        "the mistakes of a connection are lost",
        "TcBillingHook._settings",
        "return error.with_traceback(None)",
        "raise",
        "tests/hooks/test_hook.py::test_all_mistakes_of_a_connection_are_said_at_once",
    ),
    Mutant(
        "everybody reads the records",
        "FILE_MODE",
        "FILE_MODE = 0o640",
        "FILE_MODE = 0o644",
        f"{AIRFLOW}::test_a_record_in_a_folder_is_read_by_nobody_but_its_owner_and_group",
    ),
    Mutant(
        "a mistake prints the parameter",
        "json_object",
        'f"JSON, but not an object: {type_of(read)}"',
        'f"JSON, but not an object: {value!r}"',
        f"{SEALED}::test_a_mistake_in_the_parameter_is_named_without_its_content",
    ),
    Mutant(
        "a value in the wrong field is printed with its secrets",
        "_shown",
        "return shown(without_secrets(value))",
        "return shown(value)",
        f"{SEALED}::test_a_value_of_another_field_is_bounded_and_harmless_in_a_message",
    ),
    Mutant(
        "Airflow stores rendered secrets",
        "CreateInstanceOperator._do_render_template_fields",
        "        super()._do_render_template_fields(*args, **kwargs)\n        mask_in_airflow(self.parameter)\n",
        "        super()._do_render_template_fields(*args, **kwargs)\n",
        f"{AIRFLOW}::test_airflow_masks_the_secrets_of_a_parameter_as_soon_as_they_are_rendered",
    ),
    Mutant(
        "a masker that fails stops a purchase",
        "mask_in_airflow",
        "except Exception as error:",
        "except LookupError as error:",
        f"{AIRFLOW}::test_a_masker_that_fails_stops_no_purchase",
    ),
    Mutant(
        "thousands of secrets hold a purchase up",
        "mask_in_airflow",
        "for secret in short[:MOST_SECRETS]:",
        "for secret in short:",
        f"{AIRFLOW}::test_airflow_is_told_no_more_than_it_can_mask_in_good_time",
    ),
    Mutant(
        "a secret number that a server repeats is stored",
        "_texts_in",
        "if isinstance(part, (str, int, float)) and not isinstance(part, bool):",
        "if isinstance(part, str):",
        f"{SEALED}::test_a_secret_number_that_the_server_repeats_is_not_stored",
    ),
)
