"""Arguments as text, by kind. A call is Python text, so that a failure can be copied, and a seed gives the same call.

Each kind has three lists: `good` must be taken, `odd` may be taken or refused with a typed error, `bad` must be refused.
The text is evaluated with the names of `objects.NAMES`.
"""

from typing import NamedTuple


class Kind(NamedTuple):
    good: tuple[str, ...] = ()
    odd: tuple[str, ...] = ()
    bad: tuple[str, ...] = ()


def kind(good: str = "", odd: str = "", bad: str = "") -> Kind:
    """A kind from texts with one expression per line."""
    return Kind(
        *(tuple(line.strip() for line in text.strip().splitlines() if line.strip()) for text in (good, odd, bad))
    )


ANYTHING = (
    "None", "True", "0", "-1", "1.5", "np.nan", "np.inf", "-0.0", "10**400", "2**63", "2j", "'text'", "''", "'a\\0b'", "b'b'", "[]",
    "()", "{}", "set()", "[1, 2]", "[[1], [2, 3]]", "object()", "int", "lambda: 1", "np.array([])", "np.array('t')",
    "np.array([None, 1])", "np.ma.masked", "np.datetime64('2020-01-01')", "np.array([1.0, np.nan])", "jnp.zeros(2)", "range(3)",
    "np.float16(1)", "np.bool_(True)", "slice(None)", "NotImplemented", "...", "np", "X2", "fit()", "np.array(2)", "iter([])",
    "decimal.Decimal('1.5')", "fractions.Fraction(1, 2)", "pd.NA", "pd.Series([1, 2])", "'x' * 5000", "'\\x1b[31mred'", "'$x$'",
)  # fmt: skip
"""Values of every type, tried for every parameter."""

_NOT_A_COUNT = """
    None
    0
    -1
    True
    2.5
    '2'
    b'2'
    np.nan
    float('inf')
    [2]
    2j
    object()
    lambda: 2
    np.array([2, 3])
    -10**30
    np.bool_(True)
    np.datetime64('2020-01-01')
"""
_NOT_A_NUMBER = """
    None
    'x'
    b'1'
    np.nan
    [1e-3]
    2j
    object()
    {}
    lambda: 1
    np.array([.1, .2])
    -np.inf
    pd.NA
"""
_ROWS_ODD = """
    X2 * 1e150
    X2 * 1e200
    X2 * 1e307
    X2 * 1e-100
    X2 * 1e-162
    X2 * 1e-300
    X2 * 5e-324
    X2 + 1e15
    X2 + 1e17
    X2 * [1e10, 1e-10]
    X2 * [1e-8, 1e8]
    X2[:1]
    X2[:2]
    X2[:3]
    np.zeros((40, 2))
    -np.zeros((40, 2))
    np.ones((40, 2)) * 7
    X2[:, [0, 0]]
    np.c_[X2[:, 0], 3 * X2[:, 0] + 1e-9 * X2[:, 1]]
    np.c_[X2[:, 0], np.ones(40)]
    np.repeat(X2[:5], 8, axis=0)
    np.r_[X2, [[1e6, 1e6]]]
    np.r_[X2, [[1e160, 0.0]]]
    np.r_[X2, [[0.0, 1e300]]]
    np.round(X2)
    X2 > 0
    (X2 > 0).astype(float)
    X2.astype(np.float16)
    X2.astype(np.longdouble)
    (X2 * 10).astype(np.int8)
    np.abs(X2 * 10).astype(np.uint8)
    X2.astype('>f4')
    X2.astype(object)
    np.matrix(X2)
    np.ma.masked_array(X2)
    np.ma.masked_greater(X2, 1.0)
    pd.DataFrame(X2, columns=['x1', 'x0'])
    pd.DataFrame(X2, columns=['$a_', 'b$'])
    pd.DataFrame(X2, columns=['[red]', '<b>'])
    pd.DataFrame(X2, columns=['', ' '])
    pd.DataFrame(X2, columns=['a\\0', '\\x1b[1m'])
    pd.DataFrame(X2, columns=['a', 'a'])
    pd.DataFrame(X2, columns=[0, 1])
    pd.DataFrame(X2, columns=[('a', 1), ('b', 2)])
    pd.DataFrame(X2, columns=pd.MultiIndex.from_tuples([('a', 1), ('b', 2)]))
    pd.DataFrame(X2).astype('Float64')
    pd.DataFrame(X2).astype('float64[pyarrow]')
    pd.DataFrame(X2).astype(pd.SparseDtype(float))
    pd.DataFrame(X2).astype(object)
    pd.DataFrame(X2 > 0)
    pd.DataFrame(X2).astype('category')
    pd.Series(X2[:, 0])
    pd.Series(X2[:, 0], name='a')
    pd.Series(X2[:, 0]).astype('category')
    pl.DataFrame(X2)
    pl.DataFrame(X2).lazy()
    pl.Series(X2[:, 0])
    pa.table({'a': X2[:, 0], 'b': X2[:, 1]})
    pa.array(X2[:, 0])
    pa.chunked_array([X2[:20, 0], X2[20:, 0]])
    pa.RecordBatch.from_pydict({'a': X2[:, 0], 'b': X2[:, 1]})
    xr.DataArray(X2)
    xr.DataArray(X2, dims=('row', 'feature'), coords={'feature': ['a', 'b']})
    xr.Dataset({'a': ('row', X2[:, 0]), 'b': ('row', X2[:, 1])})
    xr.DataArray(1.0)
    sparse.csr_matrix(X2)
    jnp.asarray(X2)
    jnp.asarray(X2, jnp.bfloat16)
    memoryview(X2)
    iter(X2.tolist())
    list(map(tuple, X2))
    X2.tolist()
    {'a': X2[:, 0], 'b': X2[:, 1]}
    X2.view(np.recarray)
    X2.view([('a', float), ('b', float)])
    np.random.default_rng({int}).standard_normal((40, 2)) * 10.0**{exponent}
    np.random.default_rng({int}).standard_cauchy((40, 2))
    np.random.default_rng({int}).integers(0, 2, (40, 2))
    np.random.default_rng({int}).standard_normal((40, 2)) * 10.0**np.array([{exponent}, {exponent}])
"""
_ROWS_BAD = """
    None
    'abc'
    b'abc'
    np.nan
    1.0
    np.full((40, 2), np.nan)
    np.where(X2 > 1, np.nan, X2)
    np.where(X2 > 1, np.inf, X2)
    X2 + 1j
    X2.astype(str)
    X2.astype('S')
    {}
    []
    [[]]
    object()
    lambda: X2
    np.zeros((0, 2))
    np.zeros((40, 0))
    np.zeros((2, 3, 4))
    np.array('text')
    [[1, 2], [3]]
    [None, 1.0]
    pd.DataFrame({'a': ['x', 'y']})
    pd.DataFrame()
    pd.DataFrame(X2).map(str)
    pd.DataFrame({'a': [1.0, None, 3.0]})
    pd.DataFrame({'a': pd.date_range('2020', periods=3)})
    pd.DataFrame({'a': [1 + 2j, 3]})
    pl.DataFrame({'a': ['x', 'y']})
    pl.DataFrame({'a': [1.0, None]})
    pa.table({'a': ['x', 'y']})
    pa.table({'a': [1.0, None]})
    np.array(['2020-01-01'], 'M8[D]')
    np.ma.masked_all((40, 2))
    xr.Dataset()
    np.array([], float)
    np
    fit()
"""
_SEED_BAD = """
    'a'
    b'a'
    1.5
    np.nan
    np.inf
    True
    [1, 2, 3]
    [-1, 2]
    [2**40, 1]
    [0.5, 1]
    ['a', 'b']
    2j
    object()
    {}
    lambda: 0
    jr.split(jr.key(0), 3)
    jr.split(jr.PRNGKey(0), 2)
    np.array([1.5, 2.5])
    np.array([[1, 2], [3, 4]])
"""
_HYPER = """
    np.nan
    np.inf
    -1.0
    0.0
    -0.0
    5e-324
    1e-320
    1e-160
    1e-10
    1e10
    1e160
    1e308
    10**400
    2**63
    None
    'text'
    b'b'
    2j
    True
    [1.0]
    [1.0, 2.0]
    [1.0, 2.0, 3.0]
    [-1.0, 2.0]
    [1.0, np.nan]
    [[1.0], [2.0, 3.0]]
    [[1.0, 0.0], [0.0, 1.0]]
    [[1.0, 2.0], [2.0, 1.0]]
    [[1.0, 5.0], [0.0, 1.0]]
    [[1.0, 1.0], [1.0, 1.0]]
    np.eye(2) * 1e300
    np.eye(2) * 1e-300
    np.eye(3)
    -np.eye(2)
    np.zeros((2, 2))
    np.stack([np.eye(2)] * 2)
    np.stack([np.eye(2)] * 3)
    np.eye(2, dtype=int)
    np.eye(2, dtype=object)
    np.ones((2, 2, 2, 2))
    np.zeros(0)
    np.array('t')
    np.array([1, None])
    pd.Series([1.0, 2.0])
    pd.DataFrame(np.eye(2))
    jnp.eye(2)
    jnp.float32(2)
    np.float16(2)
    np.int8(3)
    object()
    lambda: 1
    {}
    []
    bg.HalfNormal(1.0)
    {positive}
    {number}
    [{positive}, {positive}]
"""
_PARAMS_ODD = """
    P1
    P3
    P2._replace(weights=np.array([1.0, 0.0]))
    P2._replace(weights=np.array([0.5, 0.6]))
    P2._replace(weights=np.array([-0.5, 1.5]))
    P2._replace(weights=np.array([np.nan, 1.0]))
    P2._replace(weights=np.array(['a', 'b']))
    P2._replace(weights=None)
    P2._replace(weights=[0.5, 0.5])
    P2._replace(weights=np.ones(3) / 3)
    P2._replace(means=P2.means * np.nan)
    P2._replace(means=P2.means * 1e300)
    P2._replace(means=P2.means[:, :1])
    P2._replace(means=P2.means.tolist())
    P2._replace(scale_trils=P2.scale_trils * 0)
    P2._replace(scale_trils=-P2.scale_trils)
    P2._replace(scale_trils=P2.scale_trils + np.triu(np.ones((2, 2)), 1))
    P2._replace(scale_trils=P2.scale_trils * np.nan)
    P2._replace(scale_trils=P2.scale_trils * 1e-200)
    P2._replace(scale_trils=P2.scale_trils[0])
    bg.Params(*(part.tolist() for part in P2))
    bg.Params(*(part.astype(np.float32) for part in P2))
    bg.Params(*(part.astype(object) for part in P2))
    bg.Params(*map(jnp.asarray, P2))
    bg.Params(*(np.stack([part, part]) for part in P2))
    tuple(P2)
    list(P2)
    P2._asdict()
    fit()
    gibbs()
    bg.Params(None, None, None)
    bg.Params('a', 'b', 'c')
    bg.Params(1, 2, 3)
    bg.Params
    gibbs().params
"""
_DRAWS_ODD = """
    gibbs().datatree
    gibbs().datatree['posterior'].to_dataset()
    {'weights': D2['weights'], 'means': D2['means']}
    {'means': D2['means']}
    D2 | {'weights': D2['weights'] * 0}
    D2 | {'weights': D2['weights'] * [5.0, -3.0]}
    D2 | {'weights': D2['weights'] + np.nan}
    D2 | {'weights': D2['weights'].astype(str)}
    D2 | {'weights': D2['weights'][:, :3]}
    D2 | {'weights': D2['weights'][..., :1]}
    D2 | {'means': D2['means'] + np.nan}
    D2 | {'means': D2['means'] + np.inf}
    D2 | {'means': D2['means'] + 1j}
    D2 | {'means': D2['means'].astype(object)}
    D2 | {'means': D2['means'] * 1e200}
    D2 | {'means': D2['means'].tolist()}
    D2 | {'means': D2['means'][..., :1]}
    D2 | {'means': None}
    D2 | {'covariances': -D2['covariances']}
    D2 | {'covariances': D2['covariances'] * 0}
    D2 | {'covariances': D2['covariances'] + np.triu(np.ones((2, 2)), 1)}
    D2 | {'covariances': D2['covariances'][..., 0]}
    D2 | {'scale_trils': D2['covariances']}
    D2 | {'extra': np.zeros((2, 8, 2))}
    D2 | {'extra': 'x'}
    {name: values[:, :0] for name, values in D2.items()}
    {name: values[:0] for name, values in D2.items()}
    {name: values[:, :1] for name, values in D2.items()}
    {name: values[:1] for name, values in D2.items()}
    {name: values[:, :, :1] for name, values in D2.items()}
    {name: values[0] for name, values in D2.items()}
    {name: np.ma.masked_array(values, values > 1) for name, values in D2.items()}
    {name: jnp.asarray(values) for name, values in D2.items()}
    {name: values.astype('f2') for name, values in D2.items()}
    {1: D2['weights']}
    {None: D2['means']}
    xr.Dataset({'w': (('chain', 'draw', 'component'), D2['weights'])})
    xr.Dataset({'w': (('chain', 'draw', 'w_dim_0'), D2['weights'])})
    xr.Dataset({'w': (('draw', 'component'), D2['weights'][0])})
    xr.Dataset({'w': ('component', D2['weights'][0, 0])})
    xr.Dataset()
    xr.DataTree()
    xr.DataTree.from_dict({'posterior': xr.Dataset()})
    xr.DataTree.from_dict({'posterior': xr.Dataset({'w': (('chain', 'draw', 'component'), D2['weights'] * np.nan)})})
    az.from_dict({'posterior': D2})
    az.from_dict({'posterior': {'mu': D2['means']}})
    pd.DataFrame(D2['weights'][0])
    fit().datatree
"""
_DRAWS_BAD = """
    None
    1
    'text'
    b'text'
    {}
    []
    object()
    np.nan
    lambda: 1
    gibbs
    bg.Posterior
    {'weights': 'a'}
    {'weights': None}
    {'weights': []}
    {'weights': 1.0}
    {'weights': np.array('x')}
"""
_LABELS_ODD = """
    Z
    Z.tolist()
    Z.astype(float)
    Z.astype(np.int8)
    Z.astype(bool)
    Z.astype(str)
    Z.astype(object)
    Z + 0.5
    Z * np.nan
    -Z
    Z + 2**40
    Z[:1]
    Z[:0]
    Z[None]
    Z[:, None]
    np.stack([Z, Z])
    pd.Series(Z)
    pd.Series(Z).astype('category')
    pd.Categorical(Z)
    pl.Series(Z)
    xr.DataArray(Z)
    jnp.asarray(Z)
    np.ma.masked_array(Z, Z > 0)
    [None] * 40
    ['a', 1] * 20
    [(1,)] * 40
    'abc'
    {0: 1}
    np.zeros(40, 'M8[D]')
    np.zeros(40, complex)
"""
_DRAWN_LABELS_ODD = """
    np.zeros((2, 8, 40), int)
    np.ones((2, 8, 40), int)
    np.full((2, 8, 40), 2)
    np.full((2, 8, 40), -1)
    np.full((2, 8, 40), 0.5)
    np.full((2, 8, 40), np.nan)
    np.zeros((2, 8, 39), int)
    np.zeros((2, 8), int)
    np.zeros((2, 0, 40), int)
    np.zeros((2, 8, 40), bool)
    np.zeros((2, 8, 40), str)
    np.zeros((2, 8, 40), object)
    'z'
    None
"""
_PATHS = """
    TMP / 'new'
    str(TMP / 'new2')
    TMP / 'a' / 'b' / 'c'
    TMP
    b'bytes'
    ''
    '.'
    TMP / 'file.txt'
    TMP / 'file.txt' / 'below'
    '/proc/x'
    '/dev/null'
    '/dev/full'
    'a\\0b'
    'x' * 5000
    TMP / ('y' * 300)
    TMP / 'ü €'
    TMP / '[red]'
    TMP / 'loop'
    TMP / 'fifo'
    0
    1.5
    -1
    None
    []
    {}
    object()
    np.nan
    True
    lambda: 1
    Path
"""

COUNTS = "2\nnp.int64(2)\nnp.uint8(3)\n3"
HUGE = "np.array(2)\n2.0\nnp.float64(3)\n10**12\n2**63\n10**30\nnp.int8(5)\ndecimal.Decimal(2)"
FAMILIES = "'full'\n'tied'\n'diag'\n'spherical'\n'VVV'\n'EEI'\n'EVE'\n'VEV'\n'VII'"
KINDS: dict[str, Kind] = {
    "data": kind("X2\nX1\nX2.tolist()\nnp.asfortranarray(X2)\nX2[::-1]\nX2.astype('>f8')\nX2.astype('f4')\nX2.copy()", _ROWS_ODD, _ROWS_BAD),
    "rows": kind("X2\nX2[:3]\nX2.tolist()\npd.DataFrame(X2)\nX2 * 100", _ROWS_ODD + "X1\nnp.zeros((3, 3))", _ROWS_BAD),
    "components": kind("1\n2\nnp.int8(2)\nnp.uint64(2)", "3\n40\n41\n39" + "\n" + HUGE, _NOT_A_COUNT),
    "count": kind(COUNTS, "1\n" + HUGE, _NOT_A_COUNT),
    "count0": kind(COUNTS + "\n0", "1\n" + HUGE, _NOT_A_COUNT.replace("    0\n", "")),
    "few": kind("4\n5\nnp.int64(4)", "1\n2\n3\n" + HUGE, _NOT_A_COUNT),
    "optional_count": kind("2\nNone\n5", "1\n100\n" + HUGE, _NOT_A_COUNT.replace("    None\n", "")),
    "number": kind("0.05\nnp.float32(0.01)\n1e-4", "0\n0.0\n1\n1e-320\n-0.0\nTrue\n1e308\n10**400\nnp.inf\n-1\n0.99999\n2\nnp.array(0.1)\n'0.1'", _NOT_A_NUMBER),
    "flag": kind("True\nFalse", "np.bool_(True)\n1\n0\nNone\n'yes'\nnp.nan\nnp.array([True, False])\nX2\n{}\nobject()"),
    "seed": kind("0\n1\nnp.int64(3)\njr.key(1)\njr.PRNGKey(1)\n2**40", "np.random.SeedSequence(3)\nnp.random.default_rng(3)\nnp.array(3)\n-1\n2**63\n10**30\nNone\n[1, 2]\n(1, 2)\nnp.uint8(3)\njr.key(1, impl='rbg')\nnp.array([1, 2], np.uint32)", _SEED_BAD),
    "prior": kind("'default'\nbg.Prior(bg.Dirichlet(1.0), bg.NormalInverseWishart(0.0, 0.1, 5.0, [[1.0, 0.2], [0.2, 1.0]]))\nbg.Prior(bg.Dirichlet([1.0, 2.0]), bg.NormalInverseWishart(0.0, 0.1, 5.0, np.eye(2)))", """
        None
        bg.Prior(bg.Dirichlet({hyper}), bg.NormalInverseWishart({hyper}, 1.0, 5.0, np.eye(2)))
        bg.Prior(bg.Dirichlet(1.0), bg.NormalInverseWishart(0.0, {hyper}, {hyper}, np.eye(2)))
        bg.Prior(bg.Dirichlet(1.0), bg.NormalInverseWishart(0.0, 1.0, 5.0, {hyper}))
        bg.Prior(bg.Dirichlet({hyper}), bg.NormalInverseWishart(0.0, 1.0, 5.0, np.eye(2)))
        bg.Prior(bg.Dirichlet(1.0), bg.NormalInverseGamma({hyper}, {hyper}, 3.0, 1.0))
        bg.Prior(bg.Dirichlet(1.0), bg.NormalInverseGamma(0.0, 1.0, {hyper}, {hyper}))
        bg.Prior(bg.Dirichlet(1.0), bg.NormalTimesInverseWishart({hyper}, {hyper}, 5.0, np.eye(2)))
        bg.Prior(bg.Dirichlet(1.0), bg.NormalTimesInverseWishart(0.0, np.eye(2), {hyper}, {hyper}))
        bg.Prior(bg.Dirichlet(1.0), bg.HierarchicalInverseWishart({hyper}, np.eye(2), {hyper}, 5.0, np.eye(2)))
        bg.Prior(bg.Dirichlet(1.0), bg.HierarchicalInverseWishart(0.0, {hyper}, 5.0, {hyper}, {hyper}))
        bg.Prior(bg.Dirichlet(1.0), bg.NormalTimesLKJ({hyper}, np.eye(2), {hyper}, bg.HalfNormal(1.0)))
        bg.Prior(bg.Dirichlet(1.0), bg.NormalTimesLKJ(0.0, {hyper}, 2.0, bg.HalfNormal({hyper})))
        bg.Prior(bg.Dirichlet(1.0), bg.NormalTimesLKJ(0.0, np.eye(2), 2.0, bg.LogNormal({hyper}, {hyper})))
        bg.Prior(bg.Dirichlet(1.0), bg.NormalTimesLKJ(0.0, np.eye(2), 2.0, {hyper}))
        PRIOR
        PRIOR._replace(weights=None)
        PRIOR._replace(components=bg.Dirichlet(1.0))
        bg.Prior({hyper}, {hyper})
    """, "'nope'\n''\n1\nnp.nan\n{}\n[]\nbg.Prior\nbg.Dirichlet(1.0)\nobject()\nlambda: 1\nb'default'\nbg.Prior(1, 2)\nbg.Prior(None, None)\nX2"),
    "hyper": kind("", _HYPER),
    "prior_weights": kind("bg.Dirichlet(1.0)\nbg.Dirichlet([1.0, 2.0])", "bg.Dirichlet({hyper})\n{hyper}"),
    "prior_components": kind("bg.NormalInverseWishart(0.0, 0.1, 5.0, np.eye(2))", "bg.NormalInverseWishart({hyper}, {hyper}, {hyper}, {hyper})\nbg.Dirichlet(1.0)\n{hyper}"),
    "scales": kind("bg.HalfNormal(1.0)\nbg.LogNormal(0.0, 1.0)", "bg.HalfNormal({hyper})\nbg.LogNormal({hyper}, {hyper})\n{hyper}"),
    "params": kind("P2", _PARAMS_ODD, "None\n1\n'text'\nobject()\n[]\nnp.nan"),
    "optional_params": kind("P2\nNone", _PARAMS_ODD, "1\n'text'\nobject()\n{}\nlambda: 1"),
    "init_draws": kind("'dispersed'\n'em'\nP2\nfit()", _PARAMS_ODD + "\nNone\n'random'", "'nope'\n1\n''\nnp.nan\n{}\nobject()\nlambda: 1\nX2"),
    "init_em": kind("'auto'", "'kmeans'\n'hierarchical'\n'random'\nfit()\nP2\nNone\nlambda: 1\n['auto']", "'nope'\n1\n''\nnp.nan\n{}\nobject()\nb'auto'"),
    "weights": kind("[0.5, 0.5]", "[1, 0]\n[0.5, 0.6]\n[-1, 2]\n[np.nan, 1]\n[1e-320, 1.0]\n['a', 'b']\n[1.0]\n0.5\n'ab'\nnp.array([None, 1])\n[0.2, 0.3, 0.5]\n[[0.5, 0.5]]\n{}\nobject()\n[0.5j, 0.5]\n[[1], [2, 3]]\n[np.inf, 0]\n[1e308, 1e308]\nlambda: 1\njnp.ones(2) / 2\npd.Series([0.5, 0.5])"),
    "means": kind("[[0.0, 0.0], [1.0, 1.0]]\nX2[:2]", "[[0.0], [1.0]]\nX2[:3]\nX2\n0\n'ab'\n[[np.nan, 0], [1, 1]]\n[[np.inf, 0], [1, 1]]\n[['a', 'b'], ['c', 'd']]\n[[1], [2, 3]]\nnp.zeros((2, 2))\nX2[:2] * 1e300\nX2[:2] + 1j\n[0.0, 1.0]\nobject()\n{}\nlambda: 1\npd.DataFrame(X2[:2])\nX2[:2].astype(object)\nnp.zeros((2, 2, 2))"),
    "covariances": kind("[np.eye(2)] * 2", "np.eye(2)\n[np.eye(3)] * 2\n-np.stack([np.eye(2)] * 2)\nnp.zeros((2, 2, 2))\n[[[1, 2], [2, 1]]] * 2\n[[[1, 0.5], [0, 1]]] * 2\n[[[1, 1], [1, 1]]] * 2\nnp.full((2, 2, 2), np.nan)\nnp.stack([np.eye(2)] * 2) * 1e-300\nnp.stack([np.eye(2)] * 2) * 1e300\nnp.stack([np.eye(2)] * 3)\n'ab'\n1\n[1, 1]\n[[1], [2, 3]]\nobject()\n{}\nnp.stack([np.eye(2)] * 2).astype(object)\nnp.stack([np.eye(2)] * 2) + 1j\nlambda: 1\nnp.full((2, 2, 2), np.inf)\n[np.eye(2)] * 2 + ['a']"),
    "labels": kind("Z", _LABELS_ODD, "None\n1\nobject()\n1.5\nlambda: 1"),
    "optional_labels": kind("Z\nNone", _LABELS_ODD, "1\nobject()\n1.5\nlambda: 1"),
    "drawn_labels": kind("None\nL2", _DRAWN_LABELS_ODD, "1\nobject()\n1.5\nlambda: 1"),
    "probabilities": kind("None", "np.full((2, 8, 40, 2), 0.5)\nnp.full((2, 8, 40, 2), np.nan)\nnp.stack([-np.ones((2, 8, 40)), 2 * np.ones((2, 8, 40))], -1)\nnp.full((2, 8, 40), 0.5)\n'p'\n'weights'\n1", "object()\nlambda: 1\nnp.array('x')"),
    "draws": kind("gibbs()\nD2", _DRAWS_ODD, _DRAWS_BAD),
    "posterior": kind("gibbs()\ncavi()", "svi()\nlaplace()\nnuts()\nfit()\ngibbs().datatree\ndataclasses.replace(gibbs(), algorithm='x')\nprior_draws()", "None\n1\n'text'\n{}\nobject()\nX2\nbg.Posterior\nP2\nD2\nnp.nan"),
    "partition_draws": kind("gibbs()\nL2\nL2[0]", _DRAWS_ODD + _DRAWN_LABELS_ODD.replace("None", "L2[:, :1]") + _LABELS_ODD, _DRAWS_BAD),
    "results": kind("{'a': fit(), 'b': gibbs()}\n{'a': Z, 'b': Z[::-1]}", "comparison()\n{'a': Z, 'b': 'x'}\n{'a': Z, 'b': None}\n{'a': Z, 'b': Z[:3]}\n{'a': Z}\n{1: Z, 2: Z}\n{'a': Z, 'b': Z + 0.5}\n{'a': cut(), 'b': gibbs()}\n{'a': D2, 'b': Z}\n{'a': object(), 'b': Z}\n[fit(), gibbs()]", "None\n1\n'text'\n{}\n[]\nobject()\nfit()\nX2\nnp.nan"),
    "path": kind("TMP / 'out'\nstr(TMP / 'out2')", _PATHS),
    "optional_path": kind("None", _PATHS),
    "progress": kind("None\nFalse\nTrue\nlambda *args: None", "1\n'yes'\nobject()\n[]\nnp.bool_(False)\nX2"),
    "family": kind(FAMILIES, "'vvv'\n'FULL'\n'full '\n['full']\n('full',)\n{'full'}", "None\n''\n'nope'\n'XXX'\n0\n{}\nnp.nan\nb'full'\nobject()\nstr\nlambda: 1\n'f\\0'\n['full', 'tied']\nX2"),
    "families": kind("'all'\n'VVV'\n['EII', 'VVV']\n'full,tied'", "[]\n''\n('full', 'full')\n{'full'}\niter(['full'])\n['full', 'VVV']\n{'VVV': 1}", "None\n0\n[1]\n'nope'\n['full', 'nope']\n[None]\n[['full']]\nobject()\nlambda: 1\nnp.nan\nb'full'\nstr"),
    "ks": kind("2\n[1, 2]\nrange(1, 3)\nnp.array([1, 2])\n(2,)", "[]\n[2, 2]\nrange(0)\n[40, 41]\n{1, 2}\niter([1, 2])\nnp.array([])\n'12'\n10**12\n[10**30]\nrange(1, 10**12)", "None\n0\n-1\n[0, 1]\n['a']\n[1.5]\n2.5\nTrue\n[None]\nnp.nan\nobject()\n{}\nlambda: 1\nb'2'\n[[1, 2]]"),
    "engines": kind("('em',)\n['em', 'cavi']", "'em'\n['em', 'em']\n('em,gibbs',)\n{'em'}\niter(['em'])", "None\n0\n[1]\n[]\n'nope'\n['em', 'nope']\n[None]\n[['em']]\nobject()\nlambda: 1\nnp.nan\nb'em'\n{}"),
    "engine": kind("'gibbs'", "'cavi'\n'laplace'\nbg.sample_gibbs\nbg.fit_em\nlambda x, k, **options: None\nlambda x, k, **options: gibbs()\n'em'\n'GIBBS'\nfunctools.partial(bg.sample_gibbs, tempering=1)", "None\n0\n'nope'\n['gibbs']\nobject()\n{}\nnp.nan\nb'gibbs'\nX2"),
    "dtype": kind("'float64'\n'float32'", "np.float64\nnp.float32\n'f8'\nnp.dtype('f4')\nfloat\n'double'\n'>f8'\njnp.float32", "None\n'garbage'\n''\n0\n'int64'\n'float16'\n'complex128'\nnp.nan\n[]\n{}\nobject()\n['float64']\nlambda: 1\nb'float64'"),
    "guide": kind("'dense'\n'diagonal'\n'lowrank'", "'flow'\n'DENSE'\nlambda model: None\nint\nnpg.AutoNormal\nnpg.AutoDelta\nobject", "None\n'nope'\n''\n0\n['dense']\n{}\nnp.nan\nb'dense'\nX2\nobject()"),
    "init_svi": kind("'em'\nP2\nfit()", _PARAMS_ODD + "\nNone\n'random'", "'nope'\n1\n''\nnp.nan\n{}\nobject()\nlambda: 1\nX2"),
    "algorithm": kind("'em'\n'cem'\n'sem'", "'EM'", "None\n'nope'\n''\n0\n['em']\n{}\nnp.nan\nb'em'\nobject()\nX2"),
    "likelihood": kind("'marginal'\n'labels'", "'MARGINAL'\n'complete'", "None\n'nope'\n''\n0\n['marginal']\n{}\nnp.nan\nb'marginal'\nobject()\nX2"),
    "criterion": kind("'bic'\n'icl'\n'aic'", "'BIC'", "None\n'nope'\n''\n0\n['bic']\n{}\nnp.nan\nb'bic'\nobject()\nX2"),
    "figure": kind("None\n'bic'\n'log_likelihood'", "'icl'\n'status'\n'converged'\n'objective'", "'nope'\n''\n0\n['bic']\n{}\nnp.nan\nb'bic'\nobject()\nX2"),
    "loss": kind("'vi'\n'binder'", "'VI'", "None\n'nope'\n''\n0\n['vi']\n{}\nnp.nan\nb'vi'\nobject()\nX2\nset()"),
    "method": kind("'stephens'\n'ecr'\n'ecr-iterative-1'\n'ecr-iterative-2'\n'pra'\n'data-based'\n'ordering'\n'point-process'", "'STEPHENS'\n'aic'\n'ecr_iterative_1'", "None\n'nope'\n''\n0\n['ecr']\n{}\nnp.nan\nb'ecr'\nobject()\nX2\nset()"),
    "part": kind("None\n'weights'\n'components'", "'means'\n'prior'\n'likelihood'", "'nope'\n''\n0\n['weights']\n{}\nnp.nan\nb'weights'\nobject()\nX2"),
    "plot_kind": kind("'similarity'\n'uncertainty'", "'SIMILARITY'", "None\n'nope'\n''\n0\n['similarity']\n{}\nnp.nan\nobject()\nX2"),
    "axes": kind("None\naxes()", "figure()", "1\n'x'\n[]\nobject()\nX2"),
    "level": kind("0.5\n0.95\nnp.float32(0.5)", "0\n1\n1.0\n0.0\n1e-320\nTrue\n'0.5'\n-0.0\nnp.array(0.5)", "None\n-0.1\n1.1\nnp.nan\nnp.inf\n'x'\n[0.5]\n2j\nobject()\n{}\nX2"),
    "row_indices": kind("None\n[0, 1]\nslice(0, 5)\nnp.arange(3)", "[]\n[-1]\n[40]\n0\nnp.ones(40, bool)\n[0, 0]\nslice(None, None, -1)\n[True, False]\nrange(3)\n(0, 1)", "'x'\n[0.5]\n['a']\n[np.nan]\n[None]\nobject()\n[[0, 1], [2]]\n2j\n{}\n[10**30]\nlambda: 1"),
    "feature_index": kind("0\n1\nnp.int8(1)", "-1\n2\nTrue\n10**30", "None\n'x'\n0.5\n[0]\nnp.nan\n{}\nobject()\n2j"),
    "by": kind("'means'\n'weights'", "'covariances'\n'scale_trils'\n'log_likelihood'", "None\n'nope'\n''\n0\n['means']\n{}\nnp.nan\nobject()"),
    "pivot": kind("None", "0\n5\n(0, 1)\n[0, 1]\nP2\n'map'\nL2[0, 0]\nD2\nnp.nan\n-1\n10**9\n'x'\n{}\n1.5\nfit()\nnp.full((2, 1), np.nan)\nnp.zeros((2, 2))\nnp.zeros((3, 1))", "object()\nlambda: 1"),
    "names": kind("{}\nNone", "{'means': 'means'}\n{'weights': 'w'}\n{'mean': 'mu'}\n{'means': 1}\n{1: 'means'}\n{'means': None}\n{'means': ['means']}\n{'variances': 'covariances'}\n{'sds': 'weights'}\n[('means', 'means')]", "1\n'means'\nobject()\nnp.nan\nX2"),
    "dim_name": kind("'component'", "'chain'\n'draw'\n'row'\n'feature'", "'nope'\n''\n0\nNone\n['component']\n{}\nnp.nan\nobject()"),
    "dataset": kind("'faithful'\n'iris'\n'galaxies'", "'FAITHFUL'\n'../faithful'", "None\n'nope'\n''\n0\n['faithful']\n{}\nnp.nan\nb'faithful'\nobject()\nset()\nX2\n'f\\0'"),
    "rows_count": kind("5\n40\nnp.int64(3)", "0\n1\n10**6\n2**63\n10**30\n2.0", _NOT_A_COUNT.replace("    0\n", "")),
    "array_rows": kind("X2\njnp.asarray(X2)", _ROWS_ODD + "\nX1\nX2[0]", "None\n'abc'\n{}\nobject()\nX2.astype(str)\n[[1, 2], [3]]\nlambda: 1"),
    "key": kind("jr.key(0)\njr.PRNGKey(0)", "0\n1.5\nNone\n'a'\nnp.int64(3)\njr.split(jr.key(0), 2)\n[1, 2]\nnp.array([1, 2], np.uint32)\nobject()\nnp.nan\n[-1, 2]\nTrue\n{}\nnp.random.SeedSequence(1)"),
    "belief": kind("PRIOR", "PRIOR._replace(weights=bg.Dirichlet({hyper}))\nbg.Prior(bg.Dirichlet(1.0), bg.NormalInverseWishart(0.0, 0.1, 5.0, np.eye(2)))\nOTHERS[{index}]\nbg.Prior({hyper}, {hyper})", "None\n1\n'text'\nobject()\n{}"),
    "cli_data": kind("'data.csv'\n'data.tsv'\n'data.parquet'\n'faithful'\n'DATA.CSV'\n'names.csv'\n'semicolon.csv'", "'bare.csv'\n'ragged.csv'\n'./data.csv'\n'~/data.csv'\n'-'", "''\n'nope'\n'.'\n'empty.csv'\n'zeros.csv'\n'file.txt'\n'text.csv'\n'missing.csv'\n'binary.parquet'\n'broken.csv.gz'\n'draws.nc'\n'loop'\n'fifo'\n'/proc/self/mem'\n'/dev/null'\n'a\\0b'\n'x' * 5000\n'faithful.csv'\n'[red]'\n'file.txt/below'\n'\\udcff'"),
    "cli_count": kind("'2'\n'3'\n'4'", "'1'\n'41'\n'+2'\n' 2'\n'2_0'\n'99999999999999999999'\n'٣'", "''\n'x'\n'2.5'\n'nan'\n'1e3'\n'[red]'\n'2,3'\n'a\\0b'"),
    "cli_ks": kind("'2'\n'1:2'\n'1,2'", "'41'\n'2:1'\n'1:3:2'\n' 2 '\n'1:41'\n'2,2'\n'1,,2'\n'1:1000000000'\n'99999999999999999999'", "''\n'x'\n'0'\n'-1'\n':'\n'1:'\n','\n'2.5'\n'nan'\n'[red]'\n'0:2'\n'a:b'"),
    "cli_engines": kind("'em'\n'em,cavi'\n' em , cavi '", "'em,em'\n'em,,cavi'\n'EM'", "'nope'\n''\n','\n'em,nope'\n'[red]'\n'a\\0b'\n'em;gibbs'"),
    "cli_path": kind("'out'\n'new/below'\n'ü €'\n'[red]'", "''\n'.'", "'file.txt'\n'file.txt/below'\n'/proc/x'\n'/dev/null'\n'a\\0b'\n'x' * 5000\n'loop'\n'fifo'"),
    "cli_columns": kind("'a,b'\n'b'\n' a , b '", "'a,a'\n','\n''\n'b,a'\n'0,1'", "'nope'\n'a,nope'\n'[red]'\n'a\\0b'\n'A'\n'$b_'"),
    "cli_family": kind("'full'\n'EEI'\n'tied'", "'FULL'\n' full'\n'vvv'", "''\n'nope'\n'full,tied'\n'[red]'\n'a\\0b'\n'0'"),
    "cli_families": kind("'EII'\n'EII,VII'\n'full,tied'", "'all'\n'EII,EII'\n'EII,'\n'FULL'", "''\n','\n'nope'\n'EII,nope'\n'[red]'\n'a\\0b'\n'0'"),
    "cli_word": kind("", "'bic'\n'icl'\n'none'\n'default'\n'component'\n'chain'", "''\n'nope'\n'0'\n'[red]'\n'a\\0b'\n'x' * 5000\n'\\x1b[31m'"),
    "cli_draws": kind("'draws.nc'", "'other.nc'\n'./draws.nc'", "''\n'nope'\n'.'\n'data.csv'\n'broken.nc'\n'file.txt'\n'zeros.csv'\n'loop'\n'fifo'\n'/dev/null'\n'a\\0b'\n'x' * 5000\n'[red]'\n'http://localhost:1/x.nc'"),
    "cli_names": kind("'means=means'\n'weights=weights,means=means'", "'means=weights'\n'means=means,means=weights'\n''\n','\n' means = means '", "'nope'\n'means'\n'means='\n'=means'\n'mean=means'\n'means=nope'\n'[red]'\n'a\\0b=c'\n'sds=means'"),
    "num_rows": kind("None\n5", "0\n-1\n1.5\n'a'\n10**30\nTrue\nobject()"),
}  # fmt: skip


def fill(text: str, rng) -> str:
    """Replace ``{hyper}``, ``{int}`` and so on in a text by random values."""
    while "{hyper}" in text:
        options = KINDS["hyper"].odd
        text = text.replace("{hyper}", options[rng.integers(len(options))], 1)
    while "{int}" in text:
        text = text.replace("{int}", str(rng.integers(1000)), 1)
    while "{index}" in text:
        text = text.replace("{index}", str(rng.integers(5)), 1)
    while "{exponent}" in text:
        text = text.replace(
            "{exponent}", str(rng.integers(-320, 308) if rng.random() < 0.5 else rng.integers(-9, 9)), 1
        )
    while "{positive}" in text:
        text = text.replace("{positive}", f"{10.0 ** rng.uniform(-12, 12):.3g}", 1)
    while "{number}" in text:
        text = text.replace("{number}", f"{rng.choice([-1, 1]) * 10.0 ** rng.uniform(-300, 300):.3g}", 1)
    return text


def draw(name: str, rng) -> tuple[str, str]:
    """An argument of a kind: its text, and "good", "odd" or "bad"."""
    lists = KINDS[name]
    u = rng.random()
    sort = "good" if u < 0.1 else "odd" if u < 0.4 else "bad" if u < 0.75 else "anything"
    if sort == "anything" and (name == "progress" or name.startswith("cli_")):  # words only; a callable is called
        sort = "odd"
    options = ANYTHING if sort == "anything" else getattr(lists, sort)
    if not options:
        sort, options = "odd", lists.odd or ANYTHING
    return fill(options[rng.integers(len(options))], rng), "odd" if sort == "anything" else sort
