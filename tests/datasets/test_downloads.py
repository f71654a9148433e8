import re

import pytest

from studykit.catalog import InputError
from studykit.datasets import Dataset
from studykit.datasets.downloads import DOWNLOADS, MEDMNIST_MD5, download_of
from studykit.datasets.medmnist import COLLECTIONS, file_name

FILES = [(flag, size) for flag, facts in COLLECTIONS.items() for size in facts.sizes]


def test_facts_are_addresses_that_encrypt_and_sums_that_can_be_sums():
    every = [*DOWNLOADS.values(), *(download_of("medmnist", flag, size) for flag, size in FILES)]
    for download in every:
        assert download.by_hand and not download.target.startswith(("/", ".")) and ".." not in download.target
        for part in download.parts:
            assert part.address.startswith("https://") and "/" not in part.file
            assert re.fullmatch(r"|md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}", part.checksum)
    sums = [part.checksum for download in every for part in download.parts if part.checksum]
    assert len(set(sums)) == len(sums)


def test_medmnist_has_a_check_sum_for_each_file_that_its_reader_knows():
    assert set(MEDMNIST_MD5) == {file_name(flag, size) for flag, size in FILES}
    chosen = download_of("medmnist", "dermamnist", 64)
    assert chosen.target == "MedMNIST/dermamnist_64.npz" and "NC" in chosen.licence
    assert chosen.parts[0].address == "https://zenodo.org/records/10519652/files/dermamnist_64.npz?download=1"
    assert chosen.parts[0].checksum == "md5:b70a2f5635c6199aeaa28c31d7202e1f"
    assert download_of("medmnist").target == "MedMNIST/breastmnist.npz"


def test_every_download_is_of_a_data_set_and_stands_where_it_looks():
    for name, download in DOWNLOADS.items():
        assert name in Dataset.catalogue, f"{name} has an address, but no reader"
        assert getattr(Dataset.catalogue[name], "home", download.target) == download.target


def test_what_wants_an_account_has_no_address_but_steps():
    for name, step in (("brain_tumor_mri", "sign in at Kaggle"), ("lung_pet_ct_dx", "NBIA Data Retriever")):
        assert not DOWNLOADS[name].parts and step in DOWNLOADS[name].by_hand


def test_unknown_names_and_choices_get_a_sentence():
    with pytest.raises(InputError, match="did you mean busi"):
        download_of("bussi")
    with pytest.raises(InputError, match="Only medmnist has a flag and a size; leave them out for busi"):
        download_of("busi", size=28)
    with pytest.raises(InputError, match="did you mean breastmnist"):
        download_of("medmnist", "breastmist")
    with pytest.raises(InputError, match="published in the sizes"):
        download_of("medmnist", "breastmnist", 32)
