"""Where the data sets are published: official addresses, sizes and check sums, and what to do by hand.

None of the data is in this repository. Where an account or a contract is asked for, there is no address, only
what a person has to do. A size or check sum is given where it is known: MedMNIST's are those of its package
(medmnist 3.0.2), BUS-BRA's those of Zenodo, HAM10000's those of Harvard Dataverse, and those of
BrEaST-Lesions-USG are as others noted them who fetched the same addresses. All was looked up in November 2026
in stored copies of public pages and code, not at the publishers; the address of IQ-OTH/NCCD is formed as
Mendeley's other ones are.
"""

from dataclasses import dataclass

from studykit.catalog import InputError, check_choice
from studykit.datasets.medmnist import COLLECTIONS, file_name


@dataclass(frozen=True)
class Part:
    """One file of a data set.

    bytes: its size, 0 where not known. checksum: "md5:..." or "sha256:...", empty where none is known.
    into: the folder, in that of the data set, where an archive is unpacked ("." is the data set's own; a
        folder that stands alone at the archive's top is left out); empty for a file that stays as it is.
    """

    address: str
    file: str
    bytes: int = 0
    checksum: str = ""
    into: str = ""


@dataclass(frozen=True)
class Download:
    """target: what comes to stand in the folder of all data sets. by_hand: how a person gets it there.

    parts: what a program fetches; none where an account is needed. licence: where the card has several.
    """

    target: str
    by_hand: str
    parts: tuple[Part, ...] = ()
    licence: str = ""


def download_of(name: str, flag: str = "", size: int = 0) -> Download:
    """How the data set `name` is got; `flag` and `size` choose a file of medmnist (breastmnist, 28).

    Raises InputError for a data set that is drawn or unknown, and for a choice that it does not have.
    """
    check_choice("data set to fetch", name, (*DOWNLOADS, "medmnist"))
    if name == "medmnist":
        return _medmnist(flag or "breastmnist", size or 28)
    if flag or size:
        raise InputError(f"Only medmnist has a flag and a size; leave them out for {name}.")
    return DOWNLOADS[name]


def _medmnist(flag: str, size: int) -> Download:
    file = file_name(flag, size)
    address = f"https://zenodo.org/records/10519652/files/{file}?download=1"
    return Download(
        target=f"MedMNIST/{file}",
        by_hand=f"open https://zenodo.org/records/10519652 and put {file} into MedMNIST/",
        parts=(Part(address, file, checksum=f"md5:{MEDMNIST_MD5[file]}"),),
        licence=COLLECTIONS[flag].licence,
    )


DATAVERSE = "https://dataverse.harvard.edu/api/access/datafile/"
TCIA = "https://www.cancerimagingarchive.net/wp-content/uploads/"
DOWNLOADS = {
    "busi": Download(
        target="BUSI",
        by_hand="open https://scholar.cu.edu.eg/?q=afahmy/pages/dataset, download Dataset_BUSI.zip and "
        "unpack it as BUSI/Dataset_BUSI_with_GT",
        parts=(
            Part(
                "https://scholar.cu.edu.eg/Dataset_BUSI.zip",
                "Dataset_BUSI.zip",
                into="Dataset_BUSI_with_GT",
            ),
        ),
    ),
    "breast_lesions_usg": Download(
        target="BrEaST-Lesions-USG",
        by_hand="open https://doi.org/10.7937/9WKK-Q141, download images and masks and the clinical data, "
        "and put the xlsx and the folder BrEaST-Lesions_USG-images_and_masks into BrEaST-Lesions-USG/",
        parts=(
            Part(
                TCIA + "BrEaST-Lesions_USG-images_and_masks-Dec-15-2023.zip",
                "BrEaST-Lesions_USG-images_and_masks-Dec-15-2023.zip",
                checksum="sha256:c32e49cdfa54042e065582d0cb35978b5fc5e5b5e461b33bf773fb50cfdad355",
                into="BrEaST-Lesions_USG-images_and_masks",
            ),
            Part(
                TCIA + "BrEaST-Lesions-USG-clinical-data-Dec-15-2023.xlsx",
                "BrEaST-Lesions-USG-clinical-data-Dec-15-2023.xlsx",
                checksum="sha256:89a8874496a6f1f93960390b963f7369b90f7e72ee08a738f2d17e37f5eff8bf",
            ),
        ),
    ),
    "bus_bra": Download(
        target="BUS-BRA",
        by_hand="open https://zenodo.org/records/8231412, download BUSBRA.zip and unpack it as "
        "BUS-BRA/BUSBRA",
        parts=(
            Part(
                "https://zenodo.org/records/8231412/files/BUSBRA.zip?download=1",
                "BUSBRA.zip",
                bytes=133_917_740,
                checksum="md5:1f8b2be6476d58fc97bfb5e5a1ea9bab",
                into="BUSBRA",
            ),
        ),
    ),
    "pad_ufes_20": Download(
        target="PAD-UFES-20",
        by_hand="open https://data.mendeley.com/datasets/zr7vgbcyr2/1, download all of it (3.6 GB), put "
        "metadata.csv into PAD-UFES-20/ and unpack the three imgs_part zips into PAD-UFES-20/images/",
        parts=(
            Part(
                "https://data.mendeley.com/public-api/zip/zr7vgbcyr2/download/1", "zr7vgbcyr2-1.zip", into="."
            ),
        ),
    ),
    "ham10000": Download(
        target="HAM10000",
        by_hand="open https://doi.org/10.7910/DVN/DBW86T, download the metadata in its original format "
        "(csv), both zips of images and the segmentations, and unpack each zip into a folder of its name "
        "in HAM10000/",
        parts=(
            Part(
                DATAVERSE + "4338392?format=original",
                "HAM10000_metadata.csv",
                bytes=690_218,
                checksum="md5:8f85fb1aa29d80a2797247e434deb79d",
            ),
            Part(
                DATAVERSE + "3172585",
                "HAM10000_images_part_1.zip",
                bytes=1_366_522_108,
                checksum="md5:4639bfa73ab251610530a97c898e6e46",
                into="HAM10000_images_part_1",
            ),
            Part(
                DATAVERSE + "3172584",
                "HAM10000_images_part_2.zip",
                bytes=1_403_566_547,
                checksum="md5:da43d6cc50f6613013be07e8986b384b",
                into="HAM10000_images_part_2",
            ),
            Part(
                DATAVERSE + "3838943",
                "HAM10000_segmentations_lesion_tschandl.zip",
                bytes=10_808_743,
                checksum="md5:6e8d252e09cfdb0189199f15985a5b84",
                into="HAM10000_segmentations_lesion_tschandl",
            ),
        ),
    ),
    "covid_chestxray": Download(
        target="covid-chestxray-dataset",
        by_hand="open https://github.com/ieee8023/covid-chestxray-dataset, choose Code and Download ZIP, and "
        "unpack it as covid-chestxray-dataset/ with metadata.csv and images/ in it",
        parts=(
            Part(
                "https://github.com/ieee8023/covid-chestxray-dataset/archive/refs/heads/master.zip",
                "covid-chestxray-dataset-master.zip",
                into=".",
            ),
        ),
    ),
    "iq_othnccd": Download(
        target="IQ-OTHNCCD",
        by_hand="open https://data.mendeley.com/datasets/bhmdr45bh2/4, download all of it, and unpack it so "
        "that IQ-OTHNCCD/The IQ-OTHNCCD lung cancer dataset/ holds the three folders of cases",
    ),
    "brain_tumor_mri": Download(
        target="brain-tumor-mri",
        by_hand="sign in at Kaggle, open "
        "https://www.kaggle.com/datasets/masoudnickparvar/brain-tumor-mri-dataset "
        "(doi:10.34740/kaggle/dsv/2645886), download it, and unpack Training/ and Testing/ into "
        "brain-tumor-mri/",
    ),
    "lung_pet_ct_dx": Download(
        target="Lung-PET-CT-Dx",
        by_hand="open https://doi.org/10.7937/TCIA.2020.NNC2-0461, accept TCIA's terms, open its manifest "
        "(.tcia) with the NBIA Data Retriever (about 130 GB), and put the images, the annotations (XML) and "
        "the clinical table (xlsx) into Lung-PET-CT-Dx/",
    ),
}

_MD5 = """
a8b06965200029087d5bd730944a56c1  pathmnist.npz
55aa9c1e0525abe5a6b9d8343a507616  pathmnist_64.npz
ac42d08fb904d92c244187169d1fd1d9  pathmnist_128.npz
2c51a510bcdc9cf8ddb2af93af1eadec  pathmnist_224.npz
02c8a6516a18b556561a56cbdd36c4a8  chestmnist.npz
9de6cd0b934ebb5b7426cfba5efbae16  chestmnist_64.npz
db107e5590b27930b62dbaf558aebee3  chestmnist_128.npz
45bd33e6f06c3e8cdb481c74a89152aa  chestmnist_224.npz
0744692d530f8e62ec473284d019b0c7  dermamnist.npz
b70a2f5635c6199aeaa28c31d7202e1f  dermamnist_64.npz
2defd784463fa5243564e855ed717de1  dermamnist_128.npz
8974907d8e169bef5f5b96bc506ae45d  dermamnist_224.npz
c68d92d5b585d8d81f7112f81e2d0842  octmnist.npz
e229e9440236b774d9f0dfef9d07bdaf  octmnist_64.npz
0a97e76651ace45c5d943ee3f65b63ae  octmnist_128.npz
abc493b6d529d5de7569faaef2773ba3  octmnist_224.npz
28209eda62fecd6e6a2d98b1501bb15f  pneumoniamnist.npz
8f4eceb4ccffa70c672198ea285246c6  pneumoniamnist_64.npz
05b46931834c231683c68f40c47b2971  pneumoniamnist_128.npz
d6a3c71de1b945ea11211b03746c1fe1  pneumoniamnist_224.npz
bd4c0672f1bba3e3a89f0e4e876791e4  retinamnist.npz
afda852cc34dcda56f86ad2b2457dbcc  retinamnist_64.npz
e48e916a24454daf90583d4e6efb1a18  retinamnist_128.npz
eae7e3b6f3fcbda4ae613ebdcbe35348  retinamnist_224.npz
750601b1f35ba3300ea97c75c52ff8f6  breastmnist.npz
742edef2a1fd1524b2efff4bd7ba9364  breastmnist_64.npz
363e4b3f8d712e9b5de15470a2aaadf1  breastmnist_128.npz
b56378a6eefa9fed602bb16d192d4c8b  breastmnist_224.npz
7053d0359d879ad8a5505303e11de1dc  bloodmnist.npz
2b94928a2ae4916078ca51e05b6b800b  bloodmnist_64.npz
adace1e0ed228fccda1f39692059dd4c  bloodmnist_128.npz
b718ff6835fcbdb22ba9eacccd7b2601  bloodmnist_224.npz
ebe78ee8b05294063de985d821c1c34b  tissuemnist.npz
123ece2eba09d0aa5d698fda57103344  tissuemnist_64.npz
61b955355d7425a89687b06cca3ce0c2  tissuemnist_128.npz
b077128c4a949f0a4eb01517f9037b9c  tissuemnist_224.npz
68e3f8846a6bd62f0c9bf841c0d9eacc  organamnist.npz
2dcccc29b88e6da5a01161ef20cda288  organamnist_64.npz
eeae80d0a227a8d099027e1b3cfd3b60  organamnist_128.npz
50747347e05c87dd3aaf92c49f9f3170  organamnist_224.npz
b9ceb9546e10131b32923c5bbeaea2b1  organcmnist.npz
3ce34a8724ea6f548e6db4744d03b6a9  organcmnist_64.npz
773c1f009daa3fe5d9a2a201b2a7ed94  organcmnist_128.npz
050f5e875dc056f6768abf94ec9995d1  organcmnist_224.npz
9ab87b696fb54e2a387ebe992d6ed5f1  organsmnist.npz
53a6d115339d874c25e309a994ff46d3  organsmnist_64.npz
ded0c5fa01a95dc4978b956f613e9b8e  organsmnist_128.npz
b354719e553fbbb2513d5533f52a4cb1  organsmnist_224.npz
a0c5a1ff56af4f155c46d46fbb45a2fe  organmnist3d.npz
58a2205adf14a9d0a189cb06dc78bf10  organmnist3d_64.npz
8755a7e9e05a4d9ce80a24c3e7a256f3  nodulemnist3d.npz
c47c5b7d457bf6332200d2ea6d64ecd8  nodulemnist3d_64.npz
bbd3c5a5576322bc4cdfea780653b1ce  adrenalmnist3d.npz
17721accfe9fb005146a47d33bc54b2f  adrenalmnist3d_64.npz
6aa7b0143a6b42da40027a9dda61302f  fracturemnist3d.npz
f01d7e6316aedf4210da0da5b7437b42  fracturemnist3d_64.npz
b41fd4f7e7e2feedddb201585ecafa1b  vesselmnist3d.npz
6bb274a8846e1097066dcd64e2c4520f  vesselmnist3d_64.npz
1235b78a3cd6280881dd7850a78eadb6  synapsemnist3d.npz
43bd14ebf3af9d3dd072446fedc14d5e  synapsemnist3d_64.npz
"""
MEDMNIST_MD5 = {file: md5 for md5, file in (line.split() for line in _MD5.split("\n") if line)}
