"""The guards of a ledger in a folder or bucket: files without hard links, its identity, and a listing that skips."""

from __future__ import annotations

from verification.mutant_lists.mutant import Mutant

FILES, IDENTITY = "tests/ledger/test_folder_files.py", "tests/ledger/test_identity.py"
LISTING, STORES = "tests/ledger/test_listing.py", "tests/ledger/test_stores.py"

FOLDERS = (
    Mutant(
        "two claims to one record",
        "_has_claimed",
        "os.O_CREAT | os.O_EXCL | os.O_WRONLY",
        "os.O_CREAT | os.O_WRONLY",
        f"{FILES}::test_of_many_that_create_a_file_at_once_one_succeeds_and_no_reader_sees_a_part_of_it",
    ),
    Mutant(
        "a claim that was broken still gives the name",
        "_end_turn",
        "Path(folder, other).unlink(missing_ok=True)",
        "pass",
        f"{FILES}::test_a_process_that_stands_still_with_its_claim_does_not_win_beside_another",
    ),
    Mutant(
        "a record from before the claims is replaced",
        "_create_by_claim",
        "                _refuse_if_there(path)\n",
        "                pass\n",
        f"{FILES}::test_a_record_from_before_the_claims_is_not_replaced",
    ),
    Mutant(
        "a name that a loss of power takes away",
        "files:create",
        "    _sync_folder(path)\n",
        "    pass\n",
        f"{FILES}::test_a_new_name_is_written_to_the_disk_before_the_creation_returns",
    ),
    Mutant(
        "a folder believed that another machine may not have mounted",
        "ObjectStore.complete_since",
        "(self._is_local and not self._expected_id) or ",
        "",
        f"{IDENTITY}::test_a_folder_whose_address_does_not_end_with_its_id_promises_nothing",
    ),
    Mutant(
        "a folder that is another one than the address names",
        "ObjectStore._refuse_another_ledger",
        "if found != self._expected_id:",
        "if False:",
        f"{IDENTITY}::test_a_machine_that_does_not_share_the_folder_of_the_address_sends_nothing",
    ),
    Mutant(
        "a copy of a ledger that is as old as the ledger",
        "about_file",
        "max(about.st_mtime, about.st_ctime)",
        "about.st_mtime",
        f"{IDENTITY}::test_a_copy_of_a_ledger_is_complete_since_it_was_copied_even_if_it_keeps_the_times_of_its_files",
    ),
    Mutant(
        "a record skipped of which nobody knows when it changed",
        "ObjectStore._list_changed",
        "one.changed_at is None or ",
        "one.changed_at is not None and ",
        f"{LISTING}::test_a_storage_that_does_not_tell_when_a_record_changed_has_all_of_them_read_each_time",
    ),
    Mutant(
        "a record that has changed taken from memory",
        "_is_kept",
        " and kept[one.path][0] == one.content_id",
        "",
        f"{LISTING}::test_a_record_that_has_changed_is_read_again_even_if_its_size_and_its_second_are_the_same",
    ),
    Mutant(
        "a damaged assignment believed",
        "beside:owner_of",
        'if (stored["server"], stored["order_id"]) != (server, order_id):',
        "if False:",
        f"{STORES}::test_a_damaged_assignment_gives_the_order_to_nobody",
    ),
)
