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
    """A kind from texts with one expression per line, or several between which stands ``;;``."""
    texts = [text.replace(";;", "\n").splitlines() for text in (good, odd, bad)]
    return Kind(*(tuple(line.strip() for line in lines if line.strip()) for lines in texts))


ANYTHING = (
    "None", "True", "0", "-1", "1.5", "np.nan", "np.inf", "-0.0", "10**400", "2**63", "2j", "'text'", "''", "'a\\0b'", "b'b'",
    "[]", "()", "{}", "set()", "[1, 2]", "[[1], [2, 3]]", "object()", "int", "lambda: 1", "np.array([])", "np.array('t')",
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
    None ;; 'x' ;; b'1' ;; np.nan ;; [1e-3] ;; 2j ;; object() ;; {} ;; lambda: 1 ;; np.array([.1, .2]) ;; -np.inf
    pd.NA
"""
_ROWS_ODD = """
    np.full((40, 2), np.nan) ;; np.where(X2 > 1, np.nan, X2) ;; np.where([True, False], X2, np.nan)
    X2 * 1e150 ;; X2 * 1e200 ;; X2 * 1e307 ;; X2 * 1e-100 ;; X2 * 1e-162 ;; X2 * 1e-300 ;; X2 * 5e-324 ;; X2 + 1e15
    X2 + 1e17 ;; X2 * [1e10, 1e-10] ;; X2 * [1e-8, 1e8] ;; X2[:1] ;; X2[:2] ;; X2[:3] ;; np.zeros((40, 2))
    -np.zeros((40, 2)) ;; np.ones((40, 2)) * 7 ;; X2[:, [0, 0]] ;; np.c_[X2[:, 0], 3 * X2[:, 0] + 1e-9 * X2[:, 1]]
    np.c_[X2[:, 0], np.ones(40)] ;; np.repeat(X2[:5], 8, axis=0) ;; np.r_[X2, [[1e6, 1e6]]]
    np.r_[X2, [[1e160, 0.0]]] ;; np.r_[X2, [[0.0, 1e300]]] ;; np.round(X2) ;; X2 > 0 ;; (X2 > 0).astype(float)
    X2.astype(np.float16) ;; X2.astype(np.longdouble) ;; (X2 * 10).astype(np.int8)
    np.abs(X2 * 10).astype(np.uint8) ;; X2.astype('>f4') ;; X2.astype(object) ;; np.matrix(X2)
    np.ma.masked_array(X2) ;; np.ma.masked_greater(X2, 1.0) ;; pd.DataFrame(X2, columns=['x1', 'x0'])
    pd.DataFrame(X2, columns=['$a_', 'b$']) ;; pd.DataFrame(X2, columns=['[red]', '<b>'])
    pd.DataFrame(X2, columns=['', ' ']) ;; pd.DataFrame(X2, columns=['a\\0', '\\x1b[1m'])
    pd.DataFrame(X2, columns=['a', 'a']) ;; pd.DataFrame(X2, columns=[0, 1])
    pd.DataFrame(X2, columns=[('a', 1), ('b', 2)])
    pd.DataFrame(X2, columns=pd.MultiIndex.from_tuples([('a', 1), ('b', 2)])) ;; pd.DataFrame(X2).astype('Float64')
    pd.DataFrame(X2).astype('float64[pyarrow]') ;; pd.DataFrame(X2).astype(pd.SparseDtype(float))
    pd.DataFrame(X2).astype(object) ;; pd.DataFrame(X2 > 0) ;; pd.DataFrame(X2).astype('category')
    pd.Series(X2[:, 0]) ;; pd.Series(X2[:, 0], name='a') ;; pd.Series(X2[:, 0]).astype('category')
    pl.DataFrame(X2) ;; pl.DataFrame(X2).lazy() ;; pl.Series(X2[:, 0]) ;; pa.table({'a': X2[:, 0], 'b': X2[:, 1]})
    pa.array(X2[:, 0]) ;; pa.chunked_array([X2[:20, 0], X2[20:, 0]])
    pa.RecordBatch.from_pydict({'a': X2[:, 0], 'b': X2[:, 1]}) ;; xr.DataArray(X2)
    xr.DataArray(X2, dims=('row', 'feature'), coords={'feature': ['a', 'b']})
    xr.Dataset({'a': ('row', X2[:, 0]), 'b': ('row', X2[:, 1])}) ;; xr.DataArray(1.0) ;; sparse.csr_matrix(X2)
    jnp.asarray(X2) ;; jnp.asarray(X2, jnp.bfloat16) ;; memoryview(X2) ;; iter(X2.tolist()) ;; list(map(tuple, X2))
    X2.tolist() ;; {'a': X2[:, 0], 'b': X2[:, 1]} ;; X2.view(np.recarray) ;; X2.view([('a', float), ('b', float)])
    np.random.default_rng({int}).standard_normal((40, 2)) * 10.0**{exponent}
    np.random.default_rng({int}).standard_cauchy((40, 2)) ;; np.random.default_rng({int}).integers(0, 2, (40, 2))
    np.random.default_rng({int}).standard_normal((40, 2)) * 10.0**np.array([{exponent}, {exponent}])
"""
_ROWS_BAD = """
    None ;; 'abc' ;; b'abc' ;; np.nan ;; 1.0
    np.where(X2 > 1, np.inf, X2) ;; X2 + 1j ;; X2.astype(str) ;; X2.astype('S') ;; {} ;; [] ;; [[]] ;; object()
    lambda: X2 ;; np.zeros((0, 2)) ;; np.zeros((40, 0)) ;; np.zeros((2, 3, 4)) ;; np.array('text') ;; [[1, 2], [3]]
    [None, 1.0] ;; pd.DataFrame({'a': ['x', 'y']}) ;; pd.DataFrame() ;; pd.DataFrame(X2).map(str)
    pd.DataFrame({'a': [1.0, None, 3.0]}) ;; pd.DataFrame({'a': pd.date_range('2020', periods=3)})
    pd.DataFrame({'a': [1 + 2j, 3]}) ;; pl.DataFrame({'a': ['x', 'y']}) ;; pl.DataFrame({'a': [1.0, None]})
    pa.table({'a': ['x', 'y']}) ;; pa.table({'a': [1.0, None]}) ;; np.array(['2020-01-01'], 'M8[D]')
    np.ma.masked_all((40, 2)) ;; xr.Dataset() ;; np.array([], float) ;; np ;; fit()
"""
_SEED_BAD = """
    'a' ;; b'a' ;; 1.5 ;; np.nan ;; np.inf ;; True ;; [1, 2, 3] ;; [-1, 2] ;; [2**40, 1] ;; [0.5, 1] ;; ['a', 'b']
    2j ;; object() ;; {} ;; lambda: 0 ;; jr.split(jr.key(0), 3) ;; jr.split(jr.PRNGKey(0), 2)
    np.array([1.5, 2.5]) ;; np.array([[1, 2], [3, 4]])
"""
_HYPER = """
    np.nan ;; np.inf ;; -1.0 ;; 0.0 ;; -0.0 ;; 5e-324 ;; 1e-320 ;; 1e-160 ;; 1e-10 ;; 1e10 ;; 1e160 ;; 1e308
    10**400 ;; 2**63 ;; None ;; 'text' ;; b'b' ;; 2j ;; True ;; [1.0] ;; [1.0, 2.0] ;; [1.0, 2.0, 3.0]
    [-1.0, 2.0] ;; [1.0, np.nan] ;; [[1.0], [2.0, 3.0]] ;; [[1.0, 0.0], [0.0, 1.0]] ;; [[1.0, 2.0], [2.0, 1.0]]
    [[1.0, 5.0], [0.0, 1.0]] ;; [[1.0, 1.0], [1.0, 1.0]] ;; np.eye(2) * 1e300 ;; np.eye(2) * 1e-300 ;; np.eye(3)
    -np.eye(2) ;; np.zeros((2, 2)) ;; np.stack([np.eye(2)] * 2) ;; np.stack([np.eye(2)] * 3) ;; np.eye(2, dtype=int)
    np.eye(2, dtype=object) ;; np.ones((2, 2, 2, 2)) ;; np.zeros(0) ;; np.array('t') ;; np.array([1, None])
    pd.Series([1.0, 2.0]) ;; pd.DataFrame(np.eye(2)) ;; jnp.eye(2) ;; jnp.float32(2) ;; np.float16(2) ;; np.int8(3)
    object() ;; lambda: 1 ;; {} ;; [] ;; bg.HalfNormal(1.0) ;; {positive} ;; {number} ;; [{positive}, {positive}]
"""
_PARAMS_ODD = """
    P1 ;; P3 ;; P2._replace(weights=np.array([1.0, 0.0])) ;; P2._replace(weights=np.array([0.5, 0.6]))
    P2._replace(weights=np.array([-0.5, 1.5])) ;; P2._replace(weights=np.array([np.nan, 1.0]))
    P2._replace(weights=np.array(['a', 'b'])) ;; P2._replace(weights=None) ;; P2._replace(weights=[0.5, 0.5])
    P2._replace(weights=np.ones(3) / 3) ;; P2._replace(means=P2.means * np.nan)
    P2._replace(means=P2.means * 1e300) ;; P2._replace(means=P2.means[:, :1])
    P2._replace(means=P2.means.tolist()) ;; P2._replace(scale_trils=P2.scale_trils * 0)
    P2._replace(scale_trils=-P2.scale_trils)
    P2._replace(scale_trils=P2.scale_trils + np.triu(np.ones((2, 2)), 1))
    P2._replace(scale_trils=P2.scale_trils * np.nan) ;; P2._replace(scale_trils=P2.scale_trils * 1e-200)
    P2._replace(scale_trils=P2.scale_trils[0]) ;; bg.Params(*(part.tolist() for part in P2))
    bg.Params(*(part.astype(np.float32) for part in P2)) ;; bg.Params(*(part.astype(object) for part in P2))
    bg.Params(*map(jnp.asarray, P2)) ;; bg.Params(*(np.stack([part, part]) for part in P2)) ;; tuple(P2) ;; list(P2)
    P2._asdict() ;; fit() ;; gibbs() ;; bg.Params(None, None, None) ;; bg.Params('a', 'b', 'c')
    bg.Params(1, 2, 3) ;; bg.Params ;; gibbs().params
"""
_DRAWS_ODD = """
    gibbs().datatree ;; gibbs().datatree['posterior'].to_dataset()
    {'weights': D2['weights'], 'means': D2['means']} ;; {'means': D2['means']}
    D2 | {'weights': D2['weights'] * 0} ;; D2 | {'weights': D2['weights'] * [5.0, -3.0]}
    D2 | {'weights': D2['weights'] + np.nan} ;; D2 | {'weights': D2['weights'].astype(str)}
    D2 | {'weights': D2['weights'][:, :3]} ;; D2 | {'weights': D2['weights'][..., :1]}
    D2 | {'means': D2['means'] + np.nan} ;; D2 | {'means': D2['means'] + np.inf} ;; D2 | {'means': D2['means'] + 1j}
    D2 | {'means': D2['means'].astype(object)} ;; D2 | {'means': D2['means'] * 1e200}
    D2 | {'means': D2['means'].tolist()} ;; D2 | {'means': D2['means'][..., :1]} ;; D2 | {'means': None}
    D2 | {'covariances': -D2['covariances']} ;; D2 | {'covariances': D2['covariances'] * 0}
    D2 | {'covariances': D2['covariances'] + np.triu(np.ones((2, 2)), 1)}
    D2 | {'covariances': D2['covariances'][..., 0]} ;; D2 | {'scale_trils': D2['covariances']}
    D2 | {'extra': np.zeros((2, 8, 2))} ;; D2 | {'extra': 'x'}
    {name: values[:, :0] for name, values in D2.items()} ;; {name: values[:0] for name, values in D2.items()}
    {name: values[:, :1] for name, values in D2.items()} ;; {name: values[:1] for name, values in D2.items()}
    {name: values[:, :, :1] for name, values in D2.items()} ;; {name: values[0] for name, values in D2.items()}
    {name: np.ma.masked_array(values, values > 1) for name, values in D2.items()}
    {name: jnp.asarray(values) for name, values in D2.items()}
    {name: values.astype('f2') for name, values in D2.items()} ;; {1: D2['weights']} ;; {None: D2['means']}
    xr.Dataset({'w': (('chain', 'draw', 'component'), D2['weights'])})
    xr.Dataset({'w': (('chain', 'draw', 'w_dim_0'), D2['weights'])})
    xr.Dataset({'w': (('draw', 'component'), D2['weights'][0])})
    xr.Dataset({'w': ('component', D2['weights'][0, 0])}) ;; xr.Dataset() ;; xr.DataTree()
    xr.DataTree.from_dict({'posterior': xr.Dataset()})
    xr.DataTree.from_dict({'posterior': xr.Dataset({'w': (('chain', 'draw', 'component'), D2['weights'] * np.nan)})})
    az.from_dict({'posterior': D2}) ;; az.from_dict({'posterior': {'mu': D2['means']}})
    pd.DataFrame(D2['weights'][0]) ;; fit().datatree
"""
_DRAWS_BAD = """
    None ;; 1 ;; 'text' ;; b'text' ;; {} ;; [] ;; object() ;; np.nan ;; lambda: 1 ;; gibbs ;; bg.Posterior
    {'weights': 'a'} ;; {'weights': None} ;; {'weights': []} ;; {'weights': 1.0} ;; {'weights': np.array('x')}
"""
_LABELS_ODD = """
    Z ;; Z.tolist() ;; Z.astype(float) ;; Z.astype(np.int8) ;; Z.astype(bool) ;; Z.astype(str) ;; Z.astype(object)
    Z + 0.5 ;; Z * np.nan ;; -Z ;; Z + 2**40 ;; Z[:1] ;; Z[:0] ;; Z[None] ;; Z[:, None] ;; np.stack([Z, Z])
    pd.Series(Z) ;; pd.Series(Z).astype('category') ;; pd.Categorical(Z) ;; pl.Series(Z) ;; xr.DataArray(Z)
    jnp.asarray(Z) ;; np.ma.masked_array(Z, Z > 0) ;; [None] * 40 ;; ['a', 1] * 20 ;; [(1,)] * 40 ;; 'abc' ;; {0: 1}
    np.zeros(40, 'M8[D]') ;; np.zeros(40, complex)
"""
_DRAWN_LABELS_ODD = """
    np.zeros((2, 8, 40), int) ;; np.ones((2, 8, 40), int) ;; np.full((2, 8, 40), 2) ;; np.full((2, 8, 40), -1)
    np.full((2, 8, 40), 0.5) ;; np.full((2, 8, 40), np.nan) ;; np.zeros((2, 8, 39), int) ;; np.zeros((2, 8), int)
    np.zeros((2, 0, 40), int) ;; np.zeros((2, 8, 40), bool) ;; np.zeros((2, 8, 40), str)
    np.zeros((2, 8, 40), object) ;; 'z' ;; None
"""
_PATHS = """
    TMP / 'new' ;; str(TMP / 'new2') ;; TMP / 'a' / 'b' / 'c' ;; TMP ;; b'bytes' ;; '' ;; '.' ;; TMP / 'file.txt'
    TMP / 'file.txt' / 'below' ;; '/proc/x' ;; '/dev/null' ;; '/dev/full' ;; 'a\\0b' ;; 'x' * 5000
    TMP / ('y' * 300) ;; TMP / 'ü €' ;; TMP / '[red]' ;; TMP / 'loop' ;; TMP / 'fifo' ;; 0 ;; 1.5 ;; -1 ;; None
    [] ;; {} ;; object() ;; np.nan ;; True ;; lambda: 1 ;; Path
"""

_NO_FEATURES = """
    'nope' ;; '' ;; [0, 0] ;; [5] ;; [-1] ;; [True] ;; [0.0] ;; [None] ;; [] ;; 3 ;; object() ;; ['x0', 'x0'] ;; [[0]]
    np.nan ;; [10**30] ;; 0.5 ;; lambda: 1 ;; ['x0', 0]
"""
COUNTS = "2\nnp.int64(2)\nnp.uint8(3)\n3"
HUGE = "np.array(2)\n2.0\nnp.float64(3)\n10**12\n2**63\n10**30\nnp.int8(5)\ndecimal.Decimal(2)"
FAMILIES = "'full'\n'tied'\n'diag'\n'spherical'\n'VVV'\n'EEI'\n'EVE'\n'VEV'\n'VII'"
KINDS: dict[str, Kind] = {
    "data": kind("""
        X2 ;; X1 ;; X2.tolist() ;; np.asfortranarray(X2) ;; X2[::-1] ;; X2.astype('>f8') ;; X2.astype('f4')
        X2.copy()
    """, _ROWS_ODD, _ROWS_BAD),
    "optional_data": kind("""
        None ;; X2 ;; X2.tolist() ;; X2[::-1] ;; X2.copy()
    """, _ROWS_ODD, _ROWS_BAD.replace("None ;; 'abc'", "'abc'")),
    "rows": kind("""
        X2 ;; X2[:3] ;; X2.tolist() ;; pd.DataFrame(X2) ;; X2 * 100
    """, _ROWS_ODD + """
        X1 ;; np.zeros((3, 3))
    """, _ROWS_BAD),
    "components": kind("1\n2\nnp.int8(2)\nnp.uint64(2)", "3\n40\n41\n39" + "\n" + HUGE, _NOT_A_COUNT),
    "count": kind(COUNTS, "1\n" + HUGE, _NOT_A_COUNT),
    "count0": kind(COUNTS + "\n0", "1\n" + HUGE, _NOT_A_COUNT.replace("    0\n", "")),
    "few": kind("4\n5\nnp.int64(4)", "1\n2\n3\n" + HUGE, _NOT_A_COUNT),
    "replicates": kind("40\n50\nnp.int64(40)", "1\n10\n" + HUGE, _NOT_A_COUNT),
    "optional_count": kind("2\nNone\n5", "1\n100\n" + HUGE, _NOT_A_COUNT.replace("    None\n", "")),
    "number": kind("""
        0.05 ;; np.float32(0.01) ;; 1e-4
    """, """
        0 ;; 0.0 ;; 1 ;; 1e-320 ;; -0.0 ;; True ;; 1e308 ;; 10**400 ;; np.inf ;; -1 ;; 0.99999 ;; 2
        np.array(0.1) ;; '0.1'
    """, _NOT_A_NUMBER),
    "flag": kind("""
        True ;; False
    """, """
        np.bool_(True) ;; 1 ;; 0 ;; None ;; 'yes' ;; np.nan ;; np.array([True, False]) ;; X2 ;; {} ;; object()
    """),
    "seed": kind("""
        0 ;; 1 ;; np.int64(3) ;; jr.key(1) ;; jr.PRNGKey(1) ;; 2**40
    """, """
        np.random.SeedSequence(3) ;; np.random.default_rng(3) ;; np.array(3) ;; -1 ;; 2**63 ;; 10**30 ;; None
        [1, 2] ;; (1, 2) ;; np.uint8(3) ;; jr.key(1, impl='rbg') ;; np.array([1, 2], np.uint32)
    """, _SEED_BAD),
    "prior": kind("""
        'default'
        bg.Prior(bg.Dirichlet(1.0), bg.NormalInverseWishart(0.0, 0.1, 5.0, [[1.0, 0.2], [0.2, 1.0]]))
        bg.Prior(bg.Dirichlet([1.0, 2.0]), bg.NormalInverseWishart(0.0, 0.1, 5.0, np.eye(2)))
    """, """
        None
        bg.Prior(bg.Dirichlet({hyper}), bg.NormalInverseWishart({hyper}, 1.0, 5.0, np.eye(2)))
        bg.Prior(bg.Dirichlet(1.0), bg.NormalInverseWishart(0.0, {hyper}, {hyper}, np.eye(2)))
        bg.Prior(bg.Dirichlet(1.0), bg.NormalInverseWishart(0.0, 1.0, 5.0, {hyper}))
        bg.Prior(bg.Dirichlet({hyper}), bg.NormalInverseWishart(0.0, 1.0, 5.0, np.eye(2)))
        bg.Prior(bg.StickBreaking(0.7), bg.NormalInverseWishart(0.0, 1.0, 5.0, np.eye(2)))
        bg.Prior(bg.StickBreaking({hyper}, {hyper}), bg.NormalInverseWishart(0.0, 1.0, 5.0, np.eye(2)))
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
    """, """
        'nope' ;; '' ;; 1 ;; np.nan ;; {} ;; [] ;; bg.Prior ;; bg.Dirichlet(1.0) ;; object() ;; lambda: 1
        b'default' ;; bg.Prior(1, 2) ;; bg.Prior(None, None) ;; X2
    """),
    "hyper": kind("", _HYPER),
    "positive": kind("0.5\n1\nnp.float64(2.0)", "1e-3\n1e3\n0\n-1\n1e-300\n1e300\nnp.nan\nnp.inf\n'1'\nNone\n[1.0]\nTrue"),
    "number_prior": kind("""
        bg.UniformComponents(4) ;; bg.GeometricComponents(0.3) ;; bg.PoissonComponents(1.0) ;; bg.FixedComponents(2) ;; None
        bg.BetaNegativeBinomialComponents()
    """, """
        bg.UniformComponents(10**9) ;; bg.UniformComponents(100) ;; bg.FixedComponents(1) ;; bg.PoissonComponents(1e5)
        bg.GeometricComponents(1e-9) ;; bg.BetaNegativeBinomialComponents(1e5, 1e-5, 1e5)
    """, "bg.UniformComponents(0)\nbg.FixedComponents('a')\n5\n'uniform'\nobject()\nbg.PoissonComponents(-1)\nnp.ones(3)"),
    "concentration_prior": kind("""
        bg.Static(1.0) ;; bg.Dynamic(0.5) ;; bg.Dynamic(bg.Gamma(1.0, 2.0)) ;; bg.Static(bg.FDistribution(6.0, 3.0)) ;; None
    """, "bg.Static(1e-6)\nbg.Dynamic(1e5)\nbg.Static(bg.Gamma(1e-3, 1e-3))\nbg.Dynamic(bg.Gamma(1e5, 1.0))", """
        1.0 ;; bg.Static(-1) ;; bg.Static(bg.Gamma(0, 1)) ;; bg.Static(np.nan) ;; bg.Dynamic(None) ;; bg.Gamma(1.0, 1.0) ;; 'a'
    """),
    "refused_labels": kind("None", "Z\n[0] * 40", "'text'\n5"),
    "refused_noise": kind("False", "True\nbg\n0.5", "'text'"),
    "prior_weights": kind("""
        bg.Dirichlet(1.0) ;; bg.Dirichlet([1.0, 2.0]) ;; bg.StickBreaking(0.7) ;; bg.StickBreaking([2.0], 0.5)
    """, """
        bg.Dirichlet({hyper}) ;; bg.StickBreaking({hyper}) ;; bg.StickBreaking({hyper}, {hyper}) ;; {hyper}
    """),
    "prior_components": kind("bg.NormalInverseWishart(0.0, 0.1, 5.0, np.eye(2))", """
        bg.NormalInverseWishart({hyper}, {hyper}, {hyper}, {hyper}) ;; bg.Dirichlet(1.0) ;; {hyper}
    """),
    "scales": kind("""
        bg.HalfNormal(1.0) ;; bg.LogNormal(0.0, 1.0)
    """, """
        bg.HalfNormal({hyper}) ;; bg.LogNormal({hyper}, {hyper}) ;; {hyper}
    """),
    "params": kind("P2", _PARAMS_ODD, "None\n1\n'text'\nobject()\n[]\nnp.nan"),
    "optional_params": kind("P2\nNone", _PARAMS_ODD, "1\n'text'\nobject()\n{}\nlambda: 1"),
    "init_draws": kind("""
        'dispersed' ;; 'em' ;; P2 ;; fit()
    """, _PARAMS_ODD + """
        None ;; 'random'
    """, """
        'nope' ;; 1 ;; '' ;; np.nan ;; {} ;; object() ;; lambda: 1 ;; X2
    """),
    "init_em": kind("'auto'", """
        'kmeans' ;; 'hierarchical' ;; 'random' ;; fit() ;; P2 ;; None ;; lambda: 1 ;; ['auto']
    """, """
        'nope' ;; 1 ;; '' ;; np.nan ;; {} ;; object() ;; b'auto'
    """),
    "weights": kind("[0.5, 0.5]", """
        [1, 0] ;; [0.5, 0.6] ;; [-1, 2] ;; [np.nan, 1] ;; [1e-320, 1.0] ;; ['a', 'b'] ;; [1.0] ;; 0.5 ;; 'ab'
        np.array([None, 1]) ;; [0.2, 0.3, 0.5] ;; [[0.5, 0.5]] ;; {} ;; object() ;; [0.5j, 0.5] ;; [[1], [2, 3]]
        [np.inf, 0] ;; [1e308, 1e308] ;; lambda: 1 ;; jnp.ones(2) / 2 ;; pd.Series([0.5, 0.5])
    """),
    "means": kind("""
        [[0.0, 0.0], [1.0, 1.0]] ;; X2[:2]
    """, """
        [[0.0], [1.0]] ;; X2[:3] ;; X2 ;; 0 ;; 'ab' ;; [[np.nan, 0], [1, 1]] ;; [[np.inf, 0], [1, 1]]
        [['a', 'b'], ['c', 'd']] ;; [[1], [2, 3]] ;; np.zeros((2, 2)) ;; X2[:2] * 1e300 ;; X2[:2] + 1j
        [0.0, 1.0] ;; object() ;; {} ;; lambda: 1 ;; pd.DataFrame(X2[:2]) ;; X2[:2].astype(object)
        np.zeros((2, 2, 2))
    """),
    "covariances": kind("[np.eye(2)] * 2", """
        np.eye(2) ;; [np.eye(3)] * 2 ;; -np.stack([np.eye(2)] * 2) ;; np.zeros((2, 2, 2))
        [[[1, 2], [2, 1]]] * 2 ;; [[[1, 0.5], [0, 1]]] * 2 ;; [[[1, 1], [1, 1]]] * 2
        np.full((2, 2, 2), np.nan) ;; np.stack([np.eye(2)] * 2) * 1e-300 ;; np.stack([np.eye(2)] * 2) * 1e300
        np.stack([np.eye(2)] * 3) ;; 'ab' ;; 1 ;; [1, 1] ;; [[1], [2, 3]] ;; object() ;; {}
        np.stack([np.eye(2)] * 2).astype(object) ;; np.stack([np.eye(2)] * 2) + 1j ;; lambda: 1
        np.full((2, 2, 2), np.inf) ;; [np.eye(2)] * 2 + ['a']
    """),
    "row_weights": kind("None ;; np.ones(40) ;; np.arange(40) % 3", """
        np.full(40, 0.5) ;; np.zeros(40) ;; -np.ones(40) ;; np.full(40, np.nan) ;; np.full(40, np.inf) ;; np.ones(39)
        np.ones((40, 1)) ;; np.ones((40, 2)) ;; np.full(40, 1e308) ;; np.full(40, 1e-320) ;; np.r_[1.0, np.zeros(39)]
        'x0' ;; 'w' ;; '' ;; pd.Series(np.ones(40)) ;; [1] * 40 ;; ['a'] * 40 ;; np.ones(40, bool) ;; np.full(40, 1e12)
        np.full(40, 10**6)
    """, "1 ;; object() ;; 1.5 ;; lambda: 1"),
    "row_errors": kind("None ;; np.zeros((40, 2)) ;; np.full((40, 2), 0.3)", """
        np.full((40, 2), 1e9) ;; np.full((40, 2), 1e-9) ;; np.full((40, 2), np.inf) ;; np.full((40, 2), np.nan)
        -np.ones((40, 2)) ;; np.tile(np.eye(2), (40, 1, 1)) ;; np.tile([[1, 2], [2, 1]], (40, 1, 1)) ;; np.ones((40, 3))
        np.zeros((40, 2, 2)) ;; np.tile(np.ones((2, 2)), (40, 1, 1)) ;; np.tile([[1, 0], [3, 1]], (40, 1, 1)) ;; np.ones(40)
        np.full((40, 2), 1e200) ;; np.full((40, 2), 1e-200) ;; pd.DataFrame(np.ones((40, 2))) ;; [[1, 2]] * 40
        np.where(np.arange(80).reshape(40, 2) % 3, 0.1, np.inf) ;; np.full((40, 2, 2), np.nan) ;; 'x' ;; [['a', 'b']] * 40
    """, "1 ;; object() ;; 1.5 ;; lambda: 1"),
    "address": kind("'localhost:5999'", "'node1:1' ;; '[::1]:80'", """
        'localhost' ;; ':80' ;; 'a:b' ;; 'a:0' ;; 'a:70000' ;; 5 ;; None ;; ('a', 1) ;; '' ;; np.nan
    """),
    "one_process": kind("1 ;; np.int64(1)", "1", "0 ;; -1 ;; 1.5 ;; '1' ;; None ;; True ;; np.nan"),
    "no_process": kind("0 ;; np.int64(0)", "0", "1 ;; -1 ;; 1.5 ;; '0' ;; None ;; np.nan"),
    "devices": kind("None ;; 1 ;; jax.devices()[:1] ;; np.int64(1)", "jax.make_mesh((1,), ('rows',))", """
        0 ;; -1 ;; True ;; 1.5 ;; 'cpu' ;; [] ;; 10**6 ;; ['cpu']
        jax.devices()[:1] * 2 ;; jax.make_mesh((1,), ('x',)) ;; np.nan
    """),
    "noise": kind("False ;; True ;; 1e4", """
        None ;; np.arange(40) < 3 ;; np.arange(6) < 1 ;; 1e300 ;; 1e-300 ;; 0.5 ;; np.float32(1e3) ;; 10**6
        np.zeros(40, bool) ;; np.ones(40, bool) ;; pd.Series(np.arange(40) < 3) ;; [True] * 3 + [False] * 37 ;; np.True_
        np.array(1e4) ;; 1e-9
    """, "'auto' ;; object() ;; -1.0 ;; 0 ;; np.nan ;; np.inf ;; [1.0, 2.0] ;; X2 ;; Z * 1.5 ;; {} ;; lambda: 1 ;; 2j"),
    "fixed": kind("None ;; {'means': {0: [0.0, 0.5]}} ;; {'weights': {1: 0.4}} ;; {}", """
        {'covariances': {1: np.eye(2)}} ;; {'weights': [0.5, 0.5]} ;; {'means': np.full((2, 2), np.nan)} ;; {'means': X2[:2]}
        {'means': {0: [1e300, 0.0]}} ;; {'covariances': {0: 1e-300 * np.eye(2)}} ;; {'covariances': {0: 1e300 * np.eye(2)}}
        {'covariances': [np.eye(2)] * 2, 'means': X2[:2]} ;; {'weights': {0: 1e-300}} ;; {'weights': {0: 1 - 1e-16}}
        {'means': {np.int64(1): X2[0]}} ;; {'means': pd.DataFrame(X2[:2])} ;; {'covariances': {0: np.ones((2, 2))}}
        {'means': {0: [1e9, -1e9]}, 'covariances': {0: 1e-6 * np.eye(2)}, 'weights': {0: 0.01}} ;; {'means': None}
    """, """
        1 ;; object() ;; 'means' ;; [] ;; X2 ;; {'mean': 1} ;; {0: 1} ;; {'means': {2: [0, 0]}} ;; {'means': {0: [0]}}
        {'means': {0: 'a'}} ;; {'means': {True: [0, 0]}} ;; {'means': {'0': [0, 0]}} ;; {'means': {-1: [0, 0]}}
        {'weights': {0: 2}} ;; {'weights': {0: -1}} ;; {'weights': {0: np.nan}} ;; {'weights': [1.0, np.nan]} ;; {'means': 1}
        {'covariances': {0: [[1, 2], [2, 1]]}} ;; {'means': {0: [np.inf, 0]}} ;; {'means': {0: [1, np.nan]}} ;; lambda: 1
    """),
    "labels": kind("Z", _LABELS_ODD, "None\n1\nobject()\n1.5\nlambda: 1"),
    "row_labels": kind("""
        None ;; Z ;; np.where(Z > 0, Z, -1) ;; np.where(np.arange(40) % 3, -1, Z) ;; np.ones((40, 2))
        np.where(np.arange(40)[:, None] % 2, 1.0, Z[:, None] == [0, 1]) ;; 0.1 + 0.8 * (Z[:, None] == [0, 1])
    """, _LABELS_ODD + """
        Z * 0 ;; 1 - Z ;; Z + 1 ;; np.zeros((40, 2)) ;; np.full((40, 2), np.inf) ;; np.full((40, 2), 5e-324)
        np.where(np.arange(40)[:, None] == 0, 1e-300, np.ones((40, 2))) ;; np.ones((40, 3)) ;; np.ones((40, 1))
        np.tile([1.0, 0.0], (40, 1)) ;; np.full(40, -1) ;; np.full(40, -2) ;; Z[::-1] ;; np.eye(2)[Z] * 1e300
    """, "1\nobject()\n1.5\nlambda: 1"),
    "exact_labels": kind("None ;; Z[:6] ;; np.full(6, -1) ;; np.ones((6, 2))", _LABELS_ODD, "1\nobject()\n1.5\nlambda: 1"),
    "class_names": kind("Z ;; Z.astype(str) ;; ['b', 'a'] * 20 ;; np.where(np.arange(40) % 5, Z, -1)", _LABELS_ODD + """
        ['a'] * 40 ;; [None, 'a'] * 20 ;; [float('nan'), 1] * 20 ;; np.arange(40) ;; ['$x$', '[red]'] * 20
        ['a\\0b', '<b>'] * 20 ;; [True, False] * 20 ;; [10**400, 1] * 20 ;; [float('inf'), 1.0] * 20
    """, "None\n1\nobject()\n1.5\nlambda: 1"),
    "class_name": kind("0 ;; 1", "True ;; 1.0 ;; np.int64(1) ;; '0'", "None ;; 2 ;; 'nope' ;; object() ;; [] ;; X2 ;; np.nan"),
    "optional_labels": kind("Z\nNone", _LABELS_ODD, "1\nobject()\n1.5\nlambda: 1"),
    "drawn_labels": kind("None\nL2", _DRAWN_LABELS_ODD, "1\nobject()\n1.5\nlambda: 1"),
    "probabilities": kind("None", """
        np.full((2, 8, 40, 2), 0.5) ;; np.full((2, 8, 40, 2), np.nan)
        np.stack([-np.ones((2, 8, 40)), 2 * np.ones((2, 8, 40))], -1) ;; np.full((2, 8, 40), 0.5) ;; 'p'
        'weights' ;; 1
    """, """
        object() ;; lambda: 1 ;; np.array('x')
    """),
    "draws": kind("gibbs()\nD2", _DRAWS_ODD, _DRAWS_BAD),
    "posterior": kind("""
        gibbs() ;; cavi()
    """, """
        svi() ;; laplace() ;; nuts() ;; fit() ;; gibbs().datatree ;; dataclasses.replace(gibbs(), algorithm='x')
        prior_draws()
    """, """
        None ;; 1 ;; 'text' ;; {} ;; object() ;; X2 ;; bg.Posterior ;; P2 ;; D2 ;; np.nan
    """),
    "evidence_posterior": kind("""
        gibbs() ;; exact()
    """, """
        cavi() ;; svi() ;; laplace() ;; nuts() ;; gibbs().datatree ;; dataclasses.replace(gibbs(), algorithm='x')
        prior_draws() ;; bg.from_draws(D2, X2, prior=PRIOR) ;; dataclasses.replace(cavi(), algorithm='x')
    """, """
        None ;; 1 ;; 'text' ;; {} ;; object() ;; X2 ;; bg.Posterior ;; P2 ;; D2 ;; np.nan ;; fit() ;; table()
    """),
    "evidence_method": kind("'bridge' ;; 'thames'", "'exact' ;; 'bound' ;; 'laplace' ;; 'BRIDGE'", """
        None ;; 'nope' ;; '' ;; 0 ;; ['bridge'] ;; {} ;; np.nan ;; b'bridge' ;; object() ;; X2 ;; set()
    """),
    "partition_draws": kind("""
        gibbs() ;; L2 ;; L2[0]
    """, _DRAWS_ODD + _DRAWN_LABELS_ODD.replace("None", "L2[:, :1]") + _LABELS_ODD, _DRAWS_BAD),
    "results": kind("""
        {'a': fit(), 'b': gibbs()} ;; {'a': Z, 'b': Z[::-1]}
    """, """
        comparison() ;; {'a': Z, 'b': 'x'} ;; {'a': Z, 'b': None} ;; {'a': Z, 'b': Z[:3]} ;; {'a': Z}
        {1: Z, 2: Z} ;; {'a': Z, 'b': Z + 0.5} ;; {'a': cut(), 'b': gibbs()} ;; {'a': D2, 'b': Z}
        {'a': object(), 'b': Z} ;; [fit(), gibbs()]
    """, """
        None ;; 1 ;; 'text' ;; {} ;; [] ;; object() ;; fit() ;; X2 ;; np.nan
    """),
    "path": kind("TMP / 'out'\nstr(TMP / 'out2')", _PATHS),
    "optional_path": kind("None", _PATHS),
    "rows_path": kind("""
        'data.parquet' ;; Path('data.parquet') ;; 'rows' ;; 'rows.npy' ;; 'data.feather'
        __import__('pyarrow.dataset').dataset.dataset('rows') ;; __import__('zarr').array(X2)
    """, """
        __import__('pyarrow.dataset').dataset.dataset(pa.table({'a': X2[:, 0], 'b': X2[:, 1]}))
        __import__('pyarrow.dataset').dataset.dataset('data.csv', format='csv')
    """, """
        None ;; 1 ;; X2 ;; 'nope' ;; '' ;; '.' ;; 'data.csv' ;; 'gaps.parquet' ;; 'nothing.parquet' ;; 'cut.parquet'
        'binary.parquet' ;; 'cube.npy' ;; 'no_rows' ;; 'loop' ;; 'fifo' ;; 'a\0b' ;; 'x' * 5000 ;; object() ;; {} ;; b'rows.npy'
        pa.table({'a': [1.0]}) ;; np.load('rows.npy', mmap_mode='r') ;; 'empty.nc' ;; '/proc/self/mem' ;; fit() ;; np.nan
        __import__('zarr').array(np.zeros((2, 3, 4))) ;; __import__('zarr').array(np.array(['a', 'b']))
        __import__('pyarrow.dataset').dataset.dataset(pa.table({'a': ['x', 'y']}))
    """),
    "disk_columns": kind("None ;; ['a', 'b'] ;; 'b' ;; ('b', 'a')", """
        np.array(['a', 'b']) ;; {'a', 'b'} ;; ['a'] ;; pd.Index(['a'])
    """, """
        [] ;; ['nope'] ;; 1 ;; ['a', 'a'] ;; [1] ;; [None] ;; '' ;; object() ;; np.nan ;; {} ;; [['a']] ;; True
    """),
    "saved": kind("""
        fit() ;; gibbs() ;; nuts() ;; cavi() ;; svi() ;; laplace() ;; exact() ;; comparison() ;; table() ;; by_class()
        study() ;; part() ;; relabelling() ;; found_evidence() ;; gibbs().mixture ;; fit().marginal(0) ;; bg.relabel(TREE)
    """, """
        dataclasses.replace(fit(), seed=jr.key(0)) ;; dataclasses.replace(fit(), settings={'!': object(), 1: np.nan})
        dataclasses.replace(gibbs(), sample_stats={'a/b': Z, '': X2, '..': Z > 0}) ;; fit_of_names()
        dataclasses.replace(gibbs(), sample_stats={'x': np.array([object()])}) ;; dataclasses.replace(fit(), trace=None)
        dataclasses.replace(gibbs(), continuation=len) ;; dataclasses.replace(fit(), model=None)
    """, """
        None ;; 1 ;; 'text' ;; {} ;; [] ;; X2 ;; P2 ;; PRIOR ;; TREE ;; D2 ;; object() ;; bg.Posterior ;; walked() ;; view()
        model_check() ;; diagnosis() ;; fit().intervals() ;; gibbs().summary() ;; lambda: 1 ;; np ;; profiled() ;; elpd()
    """),
    "saved_path": kind("TMP / 'it.nc' ;; str(TMP / 'new/ü it.nc') ;; TMP / 'it.zarr' ;; 'it.nc' ;; TMP / 'a.b.nc'", """
        TMP / 'folder.nc' ;; TMP / 'other.zarr' ;; 'loop/it.nc' ;; TMP / ('x' * 300 + '.nc') ;; '/proc/it.nc'
        '/proc/it.zarr' ;; TMP / ('x' * 300 + '.zarr') ;; 'data.csv/it.zarr' ;; 'data.csv/it.nc' ;; ' .nc' ;; '[red].nc'
    """, """
        None ;; 1 ;; '' ;; ' ' ;; 'it' ;; 'it.h5' ;; 'it.NC' ;; '.nc' ;; b'it.nc' ;; 'a\\0b.nc' ;; '\\ud800.nc' ;; []
        TMP ;; 'it.pkl' ;; X2 ;; object()
    """),
    "loaded_path": kind("TMP / 'bare.nc' ;; 'bare.nc' ;; str(TMP / 'bare.zarr') ;; 'fit.nc'", "'link.nc'", """
        None ;; 1 ;; '' ;; 'nowhere.nc' ;; 'nowhere.zarr' ;; 'draws.nc' ;; 'other.nc' ;; 'broken.nc' ;; 'data.csv' ;; 'loop.nc'
        TMP / 'folder.nc' ;; TMP ;; 'cut.nc' ;; 'pickle.nc' ;; 'empty.nc' ;; 'other.zarr' ;; 'a\\0b.nc' ;; object() ;; 'fifo.nc'
        'x' * 5000 + '.nc' ;; b'bare.nc' ;; X2 ;; '[no].nc'
    """),
    "rows_of_fit": kind("None ;; X2 ;; X2.tolist() ;; pd.DataFrame(X2) ;; bg.rows(X2)", """
        X2.astype(np.float32) ;; pd.DataFrame(X2, columns=['x1', 'x0']) ;; bg.rows(X2, weights=np.ones(40))
        bg.rows(X2, noise=True) ;; X2.copy(order='F')
    """, """
        X2[::-1] ;; X2[:-1] ;; X2[:, :1] ;; 1 ;; 'x' ;; object() ;; [] ;; X2 + 1e-12 ;; np.full((40, 2), np.nan) ;; fit()
        X2.T ;; bg.rows(X2, weights=np.full(40, 2.0)) ;; lambda: X2 ;; {} ;; X2 * np.inf
    """),
    "cli_saved": kind("'it.nc' ;; 'new/it.zarr' ;; 'ü €.nc' ;; '[red].nc'", "' .nc'", """
        'it' ;; 'it.h5' ;; '' ;; 'file.txt/it.nc' ;; 'a\\0b.nc' ;; '/proc/x/it.nc'
    """),
    "cli_model": kind("'fit.nc' ;; 'bare.nc' ;; 'bare.zarr'", "'link.nc'", """
        '' ;; 'nowhere.nc' ;; 'draws.nc' ;; 'other.nc' ;; 'broken.nc' ;; 'data.csv' ;; 'cut.nc' ;; 'pickle.nc'
        'a\\0b.nc' ;; '.'
    """),
    "progress": kind("None\nFalse\nTrue\nlambda *args: None", "1\n'yes'\nobject()\n[]\nnp.bool_(False)\nX2"),
    "family": kind(FAMILIES, """
        'vvv' ;; 'FULL' ;; 'full ' ;; ['full'] ;; ('full',) ;; {'full'}
    """, """
        None ;; '' ;; 'nope' ;; 'XXX' ;; 0 ;; {} ;; np.nan ;; b'full' ;; object() ;; str ;; lambda: 1 ;; 'f\\0'
        ['full', 'tied'] ;; X2
    """),
    "families": kind("""
        'all' ;; 'VVV' ;; ['EII', 'VVV'] ;; 'full,tied'
    """, """
        [] ;; '' ;; ('full', 'full') ;; {'full'} ;; iter(['full']) ;; ['full', 'VVV'] ;; {'VVV': 1}
    """, """
        None ;; 0 ;; [1] ;; 'nope' ;; ['full', 'nope'] ;; [None] ;; [['full']] ;; object() ;; lambda: 1 ;; np.nan
        b'full' ;; str
    """),
    "ks": kind("""
        2 ;; [1, 2] ;; range(1, 3) ;; np.array([1, 2]) ;; (2,)
    """, """
        [] ;; [2, 2] ;; range(0) ;; [40, 41] ;; {1, 2} ;; iter([1, 2]) ;; np.array([]) ;; '12' ;; 10**12
        [10**30] ;; range(1, 10**12)
    """, """
        None ;; 0 ;; -1 ;; [0, 1] ;; ['a'] ;; [1.5] ;; 2.5 ;; True ;; [None] ;; np.nan ;; object() ;; {}
        lambda: 1 ;; b'2' ;; [[1, 2]]
    """),
    "distinct_ks": kind("""
        2 ;; [1, 2] ;; range(1, 3) ;; np.array([1, 2]) ;; (2,)
    """, """
        [40] ;; {1, 2} ;; iter([1, 2]) ;; '12' ;; 10**12 ;; [10**30] ;; range(1, 10**12)
    """, """
        None ;; 0 ;; -1 ;; [0, 1] ;; ['a'] ;; [1.5] ;; 2.5 ;; True ;; [None] ;; np.nan ;; object() ;; {}
        lambda: 1 ;; b'2' ;; [[1, 2]] ;; [2, 2] ;; [] ;; range(0) ;; np.array([]) ;; [1, 2, 1.0]
    """),
    "optional_families": kind("""
        None ;; 'VVV' ;; ['EII', 'VVV'] ;; 'full,tied'
    """, """
        'all' ;; 'VEV' ;; ('full', 'full') ;; {'full'} ;; iter(['full']) ;; {'VVV': 1}
    """, """
        [] ;; '' ;; 0 ;; [1] ;; 'nope' ;; ['full', 'nope'] ;; [None] ;; [['full']] ;; object() ;; lambda: 1 ;; np.nan
        b'full' ;; str
    """),
    "optional_family": kind("""
        None ;; 'EEI'
    """, "'VVV' ;; 'eei'", """
        '' ;; 0 ;; ['EEI'] ;; {} ;; np.nan ;; b'EEI' ;; object() ;; X2
    """),
    "criteria": kind("""
        'bic' ;; ('bic', 'icl') ;; ['aicc', 'loo'] ;; 'bic,soft_icl'
    """, """
        'lrt' ;; 'kfold' ;; 'held_out' ;; 'evidence' ;; 'posterior_of_k' ;; ('bic', 'bic')
        {'bic'} ;; iter(['bic']) ;; {'bic': 1}
    """, """
        None ;; [] ;; '' ;; 'nope' ;; ['bic', 'nope'] ;; 0 ;; [None] ;; [['bic']] ;; object() ;; lambda: 1 ;; np.nan
        b'bic' ;; 'BIC' ;; str
    """),
    "answered": kind("'bic'", "'icl'", """
        None ;; 'nope' ;; '' ;; 0 ;; ['bic'] ;; {} ;; np.nan ;; object() ;; X2
    """),
    "held_share": kind("""
        0.2 ;; 0.5 ;; np.float32(0.25)
    """, """
        1e-320 ;; 0.999 ;; X2 ;; X2[:3] ;; pd.DataFrame(X2, columns=['x0', 'x1']) ;; np.array([[1.0, np.nan]])
    """, """
        None ;; 0 ;; 1 ;; 1.0 ;; -0.1 ;; 'x' ;; np.nan ;; np.inf ;; [0.5] ;; object() ;; {} ;; lambda: 1 ;; X1 ;; True
    """),
    "merged": kind("fit() ;; gibbs()", """
        D2 ;; TREE ;; cavi() ;; nuts() ;; exact() ;; laplace()
    """, """
        None ;; 0 ;; 'x' ;; X2 ;; Z ;; P2 ;; {} ;; [] ;; object() ;; table() ;; lambda: 1 ;; np.nan ;; part()
    """),
    "engines": kind("""
        ('em',) ;; ['em', 'cavi']
    """, """
        ('em', 'telescoping') ;; 'em' ;; ['em', 'em'] ;; ('em,gibbs',) ;; {'em'} ;; iter(['em'])
    """, """
        None ;; 0 ;; [1] ;; [] ;; 'nope' ;; ['em', 'nope'] ;; [None] ;; [['em']] ;; object() ;; lambda: 1
        np.nan ;; b'em' ;; {}
    """),
    "engine": kind("'gibbs'", """
        'cavi' ;; 'laplace' ;; bg.sample_gibbs ;; bg.fit_em ;; lambda x, k, **options: None
        lambda x, k, **options: gibbs() ;; 'em' ;; 'GIBBS' ;; functools.partial(bg.sample_gibbs, tempering=1)
    """, """
        None ;; 0 ;; 'nope' ;; ['gibbs'] ;; object() ;; {} ;; np.nan ;; b'gibbs' ;; X2
    """),
    "dtype": kind("""
        'float64' ;; 'float32'
    """, """
        np.float64 ;; np.float32 ;; 'f8' ;; np.dtype('f4') ;; float ;; 'double' ;; '>f8' ;; jnp.float32
    """, """
        None ;; 'garbage' ;; '' ;; 0 ;; 'int64' ;; 'float16' ;; 'complex128' ;; np.nan ;; [] ;; {} ;; object()
        ['float64'] ;; lambda: 1 ;; b'float64'
    """),
    "guide": kind("""
        'dense' ;; 'diagonal' ;; 'lowrank'
    """, """
        'flow' ;; 'DENSE' ;; lambda model: None ;; int ;; npg.AutoNormal ;; npg.AutoDelta ;; object
    """, """
        None ;; 'nope' ;; '' ;; 0 ;; ['dense'] ;; {} ;; np.nan ;; b'dense' ;; X2 ;; object()
    """),
    "init_svi": kind("""
        'em' ;; P2 ;; fit()
    """, _PARAMS_ODD + """
        None ;; 'random'
    """, """
        'nope' ;; 1 ;; '' ;; np.nan ;; {} ;; object() ;; lambda: 1 ;; X2
    """),
    "algorithm": kind("""
        'em' ;; 'cem' ;; 'sem' ;; 'daem'
    """, "'EM'", """
        None ;; 'nope' ;; '' ;; 0 ;; ['em'] ;; {} ;; np.nan ;; b'em' ;; object() ;; X2
    """),
    "likelihood": kind("""
        'marginal' ;; 'labels'
    """, """
        'MARGINAL' ;; 'complete'
    """, """
        None ;; 'nope' ;; '' ;; 0 ;; ['marginal'] ;; {} ;; np.nan ;; b'marginal' ;; object() ;; X2
    """),
    "criterion": kind("""
        'bic' ;; 'icl' ;; 'aic'
    """, "'BIC'", """
        None ;; 'nope' ;; '' ;; 0 ;; ['bic'] ;; {} ;; np.nan ;; b'bic' ;; object() ;; X2
    """),
    "figure": kind("""
        None ;; 'bic' ;; 'log_likelihood'
    """, """
        'icl' ;; 'status' ;; 'converged' ;; 'objective'
    """, """
        'nope' ;; '' ;; 0 ;; ['bic'] ;; {} ;; np.nan ;; b'bic' ;; object() ;; X2
    """),
    "loss": kind("""
        'vi' ;; 'binder'
    """, "'VI'", """
        None ;; 'nope' ;; '' ;; 0 ;; ['vi'] ;; {} ;; np.nan ;; b'vi' ;; object() ;; X2 ;; set()
    """),
    "method": kind("""
        'stephens' ;; 'ecr' ;; 'ecr-iterative-1' ;; 'ecr-iterative-2' ;; 'pra' ;; 'data-based' ;; 'ordering'
        'point-process'
    """, """
        'STEPHENS' ;; 'aic' ;; 'ecr_iterative_1'
    """, """
        None ;; 'nope' ;; '' ;; 0 ;; ['ecr'] ;; {} ;; np.nan ;; b'ecr' ;; object() ;; X2 ;; set()
    """),
    "part": kind("""
        None ;; 'weights' ;; 'components'
    """, """
        'means' ;; 'prior' ;; 'likelihood'
    """, """
        'nope' ;; '' ;; 0 ;; ['weights'] ;; {} ;; np.nan ;; b'weights' ;; object() ;; X2
    """),
    "plot_kind": kind("""
        'similarity' ;; 'uncertainty'
    """, "'SIMILARITY'", """
        None ;; 'nope' ;; '' ;; 0 ;; ['similarity'] ;; {} ;; np.nan ;; object() ;; X2
    """),
    "coordinates": kind("None ;; [(0, 'x0'), (1, 1)] ;; [(0, 0), (0, 1)]", "((1, 0), (0, 0)) ;; [[0, 'x0'], [1, 'x0']]", """
        1 ;; 'x0' ;; [] ;; [(0, 'x0')] ;; [(0, 'x0'), (0, 0)] ;; [(0, 'x0'), (2, 'x0')] ;; [(0, 'nope'), (1, 'x0')]
        object() ;; X2 ;; [0, 1] ;; {} ;; np.nan ;; [(0, None), (1, 0)] ;; [(0.0, 0), (1, 0)] ;; [({}, 0), (1, [])]
    """),
    "walk_engine": kind("""
        'em' ;; 'cem' ;; 'sem' ;; 'daem' ;; 'mcem' ;; 'same' ;; 'gibbs'
    """, "'EM'", """
        None ;; 'nope' ;; '' ;; 0 ;; ['em'] ;; {} ;; np.nan ;; object() ;; X2 ;; 'nuts'
    """),
    "truths": kind("P2 ;; fit() ;; {'a': P2}", """
        {'a': P2, 'b': P2} ;; {1: P2} ;; P2._replace(weights=np.array([1.0, 0.0])) ;; {'a/b': P2} ;; {'$x$': P2}
    """, """
        None ;; {} ;; 1 ;; 'nope' ;; 'prior' ;; 'random' ;; [] ;; {'a': 1} ;; {'a': None} ;; object() ;; X2 ;; np.nan ;; gibbs()
        P2._replace(weights=np.array([np.nan, 1.0]))
    """),
    "share": kind("0.01 ;; 0.1 ;; np.float32(.05)", "1e-12 ;; 0.9 ;; 0.999999", _NOT_A_NUMBER + "0 ;; 1 ;; -.1 ;; 2"),
    "forgetting": kind("0.6 ;; 1 ;; np.float32(.75)", "0.5000001 ;; 1.0", _NOT_A_NUMBER + "0 ;; 0.5 ;; -.7 ;; 2"),
    "random_family": kind("'full' ;; 'tied' ;; 'diag' ;; 'spherical'", "", """
        None ;; 'nope' ;; '' ;; 0 ;; ['full'] ;; {} ;; np.nan ;; object() ;; X2 ;; 'VVV'
    """),
    "rows_counts": kind("40 ;; (40,) ;; [40, 41] ;; np.array([40]) ;; range(40, 42)", "3 ;; [39, 3]", """
        None ;; () ;; 0 ;; -1 ;; 'x' ;; [0] ;; [40, 40] ;; [[40]] ;; np.nan ;; 2.5 ;; object() ;; {} ;; 10**30 ;; [None]
    """),
    "study_size": kind("None", "", "2 ;; (2,) ;; 0 ;; 'x' ;; [] ;; np.nan ;; object() ;; {}"),
    "study_share": kind("None", "", "0.1 ;; (0.1,) ;; 0 ;; 'x' ;; [] ;; np.nan ;; object() ;; {}"),
    "study_engines": kind("'em' ;; ('em',) ;; {'em': {}} ;; {'a': {'engine': 'em', 'n_init': 2}}", """
        {'em': {'tol': 1.0}} ;; {'em': {'n_init': 0}} ;; {'em': {'tol': 'x'}}
    """, """
        None ;; () ;; {} ;; 'nope' ;; ['nope'] ;; {'a': {}} ;; {'em': 1} ;; {'em': {'x': X2}} ;; {1: {}} ;; np.nan ;; object()
        {'em': {'nope': 1}} ;; {'a': {'engine': None}} ;; {'em': None}
    """),
    "client": kind("None", "", "1 ;; 'tcp://localhost:1' ;; object() ;; {} ;; X2"),
    "executor": kind("None", "", "1 ;; 'x' ;; object() ;; {} ;; X2"),
    "n_jobs": kind("None ;; 1", "", "0 ;; -2 ;; 'x' ;; 1.5 ;; np.nan ;; object() ;; {} ;; X2 ;; 10**30"),
    "column": kind("None", "'em' ;; 'gibbs'", "1 ;; 'nope' ;; object() ;; {} ;; X2 ;; ['em'] ;; np.nan"),
    "role": kind("'weights' ;; 'means' ;; 'covariances' ;; 'invariants'", "", """
        None ;; 'nope' ;; '' ;; 0 ;; ['means'] ;; {} ;; np.nan ;; object() ;; X2
    """),
    "cli_study": kind("'study.toml'", "'./study.toml'", """
        '' ;; 'nope' ;; '.' ;; 'data.csv' ;; 'file.txt' ;; 'zeros.csv' ;; '/dev/null' ;; 'a\\0b' ;; 'x' * 5000 ;; '[red]'
        'bad.toml' ;; 'binary.parquet'
    """),
    "copies": kind("None", "2\n10\n100\n" + HUGE, _NOT_A_COUNT.replace("    None\n", "")),
    "beta_start": kind("None", "0.5 ;; 1.0 ;; 1 ;; 1e-320", """
        0 ;; -0.1 ;; 1.1 ;; np.nan ;; np.inf ;; 'x' ;; [0.5] ;; 2j ;; object() ;; {} ;; X2
    """),
    "scalar_name": kind("""
        'weights[0]' ;; 'means[0, x0]' ;; 'means[1, x1]' ;; 'covariances[0, x0, x0]' ;; 'covariances[1, x1, x1]'
    """, "", """
        'covariances[0, x0, x1]' ;; 'means[2, x0]' ;; 'means' ;; '' ;; None ;; 0 ;; ['weights[0]'] ;; {} ;; np.nan
        b'weights[0]' ;; object() ;; X2 ;; ('means', 0) ;; 'log_likelihood'
    """),
    "given": kind("""
        {'x0': 0.5} ;; {'x1': -1} ;; {0: 0.5} ;; {'x0': np.float32(1)} ;; pd.Series({'x1': 2.0}) ;; {'x1': np.array(2.0)}
    """, """
        {'x0': 1e100} ;; {'x0': 1e149} ;; {'x0': -1e150} ;; {'x1': 5e-324} ;; {np.int8(1): 0} ;; {'x0': 10**30}
        {'x0': {number}} ;; pd.Series([1.0]) ;; {'x0': 1e9}
    """, """
        None ;; {} ;; {'x0': 0.5, 'x1': 0.5} ;; {'x0': 0.5, 0: 0.5} ;; {'nope': 1.0} ;; {2: 1.0} ;; {-1: 1.0} ;; {True: 1.0}
        {None: 1.0} ;; {'x0': np.nan} ;; {'x0': np.inf} ;; {'x0': 1e200} ;; {'x0': '1'} ;; {'x0': None} ;; {'x0': [1.0]}
        {'x0': [1.0, 2.0]} ;; {'x0': X2[:, 0]} ;; {'x0': 2j} ;; {'x0': True} ;; {'x0': object()} ;; {('x0',): 1.0} ;; 'x0'
        1.0 ;; lambda: 1
        [0.5] ;; [('x0', 0.5)] ;; X2 ;; X2[0] ;; object() ;; pd.DataFrame(X2) ;; {'X0': 1.0} ;; {'x0': 10**400} ;; dict
        {'': 1.0} ;; pd.Series({'x0': np.nan}) ;; {'x0': np.array([[1.0]])} ;; {1.0: 1.0} ;; {np.nan: 1.0}
    """),
    "target": kind("'x1' ;; 1 ;; ['x1'] ;; np.int64(1) ;; (1,)", "{'x1'} ;; iter([1]) ;; 0 ;; 'x0'",
                   _NO_FEATURES + " ;; ['x0', 'x1']"),
    "given_features": kind("None ;; 'x0' ;; 0 ;; ['x0']", "{'x0'} ;; iter([0])", _NO_FEATURES + " ;; 'x1' ;; ['x0', 'x1']"),
    "feature_list": kind("0 ;; 'x1' ;; ['x1', 'x0'] ;; range(2) ;; np.array([1]) ;; (0, 1)",
                         "{'x0', 'x1'} ;; iter([1]) ;; {0: 1}", _NO_FEATURES),
    "given_names": kind("None ;; ['a', 'b'] ;; ('x1', 'x0') ;; np.array(['a', 'b']) ;; pd.Index(['a', 'b'])", """
        ['$a', '[red]'] ;; ['', ' '] ;; {'a': 1, 'b': 2} ;; ['a\\0', 'b'] ;; 'ab' ;; ['x' * 5000, 'y'] ;; ['\\x1b[1m', 'b']
    """, """
        ['a'] ;; ['a', 'a'] ;; [1, 2] ;; ['a', None] ;; 1 ;; 'a' ;; ['a', 'b', 'c'] ;; [] ;; object() ;; np.nan ;; X2
    """),
    "places": kind("0.5 ;; [0.5, 1.0] ;; X2 ;; np.inf ;; [-np.inf] ;; 3", "[] ;; 1e300 ;; -1e308 ;; 5e-324", """
        None ;; 'x' ;; np.nan ;; [np.nan, 1.0] ;; 2j ;; object() ;; {} ;; [[1], [2, 3]] ;; lambda: 1 ;; [None]
    """),
    "shares": kind("[0.1, 0.9] ;; 0.5 ;; np.array([0.25]) ;; (0.9, 0.1) ;; np.float32(0.3)", """
        1e-320 ;; 1 - 1e-16 ;; [] ;; [1e-300, 0.5] ;; [[0.1], [0.2]] ;; True ;; [0.5] * 3
    """, """
        0 ;; 1 ;; -0.1 ;; 1.1 ;; [0.0, 0.5] ;; [0.5, 1.0] ;; np.nan ;; [0.5, np.nan] ;; np.inf ;; None ;; 'x' ;; 2j ;; object()
        {} ;; [[0.1], [0.2, 0.3]] ;; lambda: 1 ;; ['0.5'] ;; 10**30
    """),
    "region_draws": kind("100 ;; 200 ;; np.int64(300)", "99 ;; 1 ;; 2.0 ;; np.array(200)", """
        None ;; 0 ;; -1 ;; True ;; 200.5 ;; '200' ;; np.nan ;; [200] ;; 10**8 ;; 10**30 ;; object() ;; {}
    """),
    "given_rows": kind("""
        X2[:, 0] ;; X2[:, :1] ;; X2[:5, 0].tolist() ;; pd.DataFrame({'x0': X2[:, 0]}) ;; pd.Series(X2[:, 0], name='x0') ;; [0.5]
    """, _ROWS_ODD + """
        pd.DataFrame({'z': X2[:, 0]}) ;; X2[:, 0] * 1e140 ;; X2[:, 0] * 1e149 ;; X2[:, 0] + 1e15 ;; np.zeros(3)
        pd.DataFrame({'x1': X2[:, 0]}) ;; X2[:, 0] * 10.0**{exponent}
    """, _ROWS_BAD.replace("1.0 ;; np.full", "np.full") + " ;; X2"),
    "target_rows": kind("X2[:, 1] ;; X2[:, 1:] ;; X2[:, 1].tolist() ;; pd.DataFrame({'x1': X2[:, 1]})", """
        X2[:, 1] * 1e140 ;; X2[:, 1] * 10.0**{exponent} ;; pd.DataFrame({'z': X2[:, 1]}) ;; np.zeros(40) ;; X2[:, 1] > 0
    """, _ROWS_BAD.replace("1.0 ;; np.full", "np.full") + " ;; X2 ;; X2[:5, 1] ;; [0.5] ;; np.zeros(41)"),
    "fit_interval": kind("""
        'information' ;; 'sandwich' ;; 'bootstrap' ;; 'parametric' ;; 'weighted'
    """, "'INFORMATION'", """
        None ;; 'nope' ;; '' ;; 0 ;; ['information'] ;; {} ;; np.nan ;; object() ;; X2 ;; 'hdi'
    """),
    "draws_interval": kind("'quantile' ;; 'hdi'", "'HDI'", """
        None ;; 'nope' ;; '' ;; 0 ;; ['hdi'] ;; {} ;; np.nan ;; object() ;; X2 ;; 'information'
    """),
    "also": kind("""
        None ;; {} ;; {'stan': gibbs()} ;; {'stan': TREE} ;; {'a': fit(), 'b': gibbs().datatree} ;; {'x': (TREE, {})}
    """, """
        {'stan': D2} ;; {'stan': cut()} ;; {'a-b.c': gibbs()} ;; {'ü': gibbs()} ;; {'x': fit().datatree}
        {'x': prior_draws()}
        {'stan': (D2, {'names': {'means': 'means'}})} ;; {'stan': (TREE, {'component_dim': 'component'})} ;; {'x': cavi()}
        {'x': bg.sample_gibbs(X1, 2, num_warmup=4, num_samples=60, num_chains=2, progress_bar=False)} ;; {'x': 1.0}
        {'x': {name: values * np.nan for name, values in D2.items()}} ;; {'x': xr.DataTree()} ;; {'x': P2}
    """, """
        1 ;; 'stan' ;; [gibbs()] ;; {'gibbs': gibbs()} ;; {'a/b': gibbs()} ;; {'': gibbs()} ;; {1: gibbs()} ;; {'x': 1}
        {'x': None} ;; {'x': 'draws.nc'} ;; {'x': object()} ;; {'..': gibbs()} ;; {'x' * 99: gibbs()} ;; {'summary': gibbs()}
        {'x': TREE['posterior']}
        {'x': (TREE, {'nope': 1})} ;; {'x': (TREE, {'names': 1})} ;; np.nan ;; object() ;; X2 ;; {'x': X2} ;; {None: fit()}
    """),
    "truth": kind("""
        None ;; gibbs() ;; TREE ;; gibbs().datatree
    """, """
        'exact' ;; 'gibbs' ;; 'nuts' ;; D2 ;; cavi() ;; nuts() ;; (TREE, {}) ;; prior_draws() ;; xr.Dataset()
    """, """
        1 ;; 'em' ;; 'mle' ;; 'nope' ;; '' ;; fit() ;; fit().datatree ;; [] ;; object() ;; X2 ;; np.nan ;; {} ;; ('exact',)
        b'exact' ;; True ;; P2 ;; cut()
    """),
    "em_intervals": kind("None ;; 'information' ;; 'sandwich'", "'bootstrap'", """
        'nope' ;; '' ;; 0 ;; ['information'] ;; {} ;; np.nan ;; object() ;; X2
    """),
    "fit_intervals": kind("None ;; {} ;; {'a': fit().intervals()}", "{'b': fit().intervals()}", """
        1 ;; 'a' ;; [] ;; {'a': 1} ;; {'a': None} ;; object() ;; X2 ;; fit().intervals()
    """),
    "parameter_kinds": kind("'weights' ;; ['means', 'sds'] ;; ('correlations',)", "iter(['sds']) ;; {'means'}", """
        None ;; 'nope' ;; '' ;; [] ;; 1 ;; ['weights', 'weights'] ;; [None] ;; [['weights']] ;; object() ;; X2 ;; np.nan
    """),
    "axes": kind("None\naxes()", "figure()", "1\n'x'\n[]\nobject()\nX2"),
    "level": kind("""
        0.5 ;; 0.95 ;; np.float32(0.5)
    """, """
        0 ;; 1 ;; 1.0 ;; 0.0 ;; 1e-320 ;; True ;; '0.5' ;; -0.0 ;; np.array(0.5)
    """, """
        None ;; -0.1 ;; 1.1 ;; np.nan ;; np.inf ;; 'x' ;; [0.5] ;; 2j ;; object() ;; {} ;; X2
    """),
    "many_rows": kind("100\n1000\nnp.int64(5000)", "20\n50\n" + HUGE, _NOT_A_COUNT),
    "optional_level": kind("""
        None ;; 0.5 ;; 0.95 ;; np.float32(0.5)
    """, """
        1e-320 ;; True ;; '0.5' ;; np.array(0.5)
    """, """
        0 ;; 1 ;; -0.1 ;; 1.1 ;; np.nan ;; np.inf ;; 'x' ;; [0.5] ;; 2j ;; object() ;; {} ;; X2
    """),
    "row_indices": kind("""
        None ;; [0, 1] ;; slice(0, 5) ;; np.arange(3)
    """, """
        [] ;; [-1] ;; [40] ;; 0 ;; np.ones(40, bool) ;; [0, 0] ;; slice(None, None, -1) ;; [True, False]
        range(3) ;; (0, 1)
    """, """
        'x' ;; [0.5] ;; ['a'] ;; [np.nan] ;; [None] ;; object() ;; [[0, 1], [2]] ;; 2j ;; {} ;; [10**30]
        lambda: 1
    """),
    "axes_grid": kind("None", "axes() ;; np.array([[axes(), axes()]] * 2)", "1\n'x'\n[]\nobject()\nX2"),
    "features": kind("None ;; (0, 1) ;; [1, 0] ;; 'x1' ;; ('x1', 0) ;; [0] ;; range(2) ;; np.array([1])", """
        {'x0', 'x1'} ;; iter([1]) ;; {0: 1} ;; pd.Index(['x0'])
    """, _NO_FEATURES),
    "feature": kind("None ;; 'x1' ;; [0] ;; (1,)", "{'x0'} ;; iter([1])", _NO_FEATURES + " ;; [0, 1]"),
    "feature_pair": kind("None ;; (0, 1) ;; ('x1', 'x0')", "{0, 1} ;; range(2)", _NO_FEATURES + " ;; [0] ;; 'x1'"),
    "plotted": kind("", """
        fit() ;; gibbs() ;; cavi() ;; laplace() ;; table() ;; part() ;; ball() ;; distances() ;; relabelling() ;; diagnosis()
        calibration() ;; predictive() ;; model_check() ;; comparison() ;; elpd() ;; pits() ;; sensitivity() ;; view() ;; cut()
        {'a': gibbs(), 'b': cavi()} ;; {'a': fit(), 'b': cut()} ;; {1: fit()} ;; {'$': fit()} ;; {'': gibbs()} ;; {None: fit()}
        {'a': bg.fit_em(X1, 2, n_init=2, progress_bar=False), 'b': fit()} ;; {'a': bg.fit_em(X2, 1, progress_bar=False)}
        bg.fit_em(X1, 2, n_init=2, progress_bar=False) ;; bg.relabel(TREE) ;; TREE ;; D2
        view().isel(chain=[0]) ;; view().isel(draw=[0]) ;; view()[['occupied']] ;; view() * np.nan ;; view() * 0 ;; xr.Dataset()
        view().isel(draw=slice(4)) ;; sensitivity().iloc[:0] ;; sensitivity().iloc[:1] ;; sensitivity().assign(prior=np.nan)
        pd.DataFrame() ;; xr.DataTree() ;; gibbs().datatree ;; bg.partition(L2, num_starts=2, progress_bar=False)
        bg.kfold(gibbs(), k=2, progress_bar=False)
    """, """
        None ;; 5 ;; 'x' ;; b'x' ;; object() ;; [] ;; () ;; X2 ;; {} ;; {'a': 5} ;; [fit()] ;; {'a': None} ;; {'a': table()}
        P2 ;; PRIOR ;; np.nan ;; lambda: 1 ;; bg.MixtureFit ;; bg ;; 2j
    """),
    "feature_index": kind("""
        0 ;; 1 ;; np.int8(1)
    """, """
        -1 ;; 2 ;; True ;; 10**30
    """, """
        None ;; 'x' ;; 0.5 ;; [0] ;; np.nan ;; {} ;; object() ;; 2j
    """),
    "by": kind("""
        'means' ;; 'weights'
    """, """
        'covariances' ;; 'scale_trils' ;; 'log_likelihood'
    """, """
        None ;; 'nope' ;; '' ;; 0 ;; ['means'] ;; {} ;; np.nan ;; object()
    """),
    "pivot": kind("None", """
        0 ;; 5 ;; (0, 1) ;; [0, 1] ;; P2 ;; 'map' ;; L2[0, 0] ;; D2 ;; np.nan ;; -1 ;; 10**9 ;; 'x' ;; {} ;; 1.5
        fit() ;; np.full((2, 1), np.nan) ;; np.zeros((2, 2)) ;; np.zeros((3, 1))
    """, """
        object() ;; lambda: 1
    """),
    "names": kind("""
        {} ;; None
    """, """
        {'means': 'means'} ;; {'weights': 'w'} ;; {'mean': 'mu'} ;; {'means': 1} ;; {1: 'means'}
        {'means': None} ;; {'means': ['means']} ;; {'variances': 'covariances'} ;; {'sds': 'weights'}
        [('means', 'means')]
    """, """
        1 ;; 'means' ;; object() ;; np.nan ;; X2
    """),
    "dim_name": kind("'component'", """
        'chain' ;; 'draw' ;; 'row' ;; 'feature'
    """, """
        'nope' ;; '' ;; 0 ;; None ;; ['component'] ;; {} ;; np.nan ;; object()
    """),
    "dataset": kind("""
        'faithful' ;; 'iris' ;; 'galaxies'
    """, """
        'FAITHFUL' ;; '../faithful'
    """, """
        None ;; 'nope' ;; '' ;; 0 ;; ['faithful'] ;; {} ;; np.nan ;; b'faithful' ;; object() ;; set() ;; X2
        'f\\0'
    """),
    "rows_count": kind("""
        5 ;; 40 ;; np.int64(3)
    """, """
        0 ;; 1 ;; 10**6 ;; 2**63 ;; 10**30 ;; 2.0
    """, _NOT_A_COUNT.replace("    0\n", "")),
    "array_rows": kind("""
        X2 ;; jnp.asarray(X2)
    """, _ROWS_ODD + """
        X1 ;; X2[0]
    """, """
        None ;; 'abc' ;; {} ;; object() ;; X2.astype(str) ;; [[1, 2], [3]] ;; lambda: 1
    """),
    "key": kind("""
        jr.key(0) ;; jr.PRNGKey(0)
    """, """
        0 ;; 1.5 ;; None ;; 'a' ;; np.int64(3) ;; jr.split(jr.key(0), 2) ;; [1, 2] ;; np.array([1, 2], np.uint32)
        object() ;; np.nan ;; [-1, 2] ;; True ;; {} ;; np.random.SeedSequence(1)
    """),
    "belief": kind("PRIOR", """
        PRIOR._replace(weights=bg.Dirichlet({hyper}))
        bg.Prior(bg.Dirichlet(1.0), bg.NormalInverseWishart(0.0, 0.1, 5.0, np.eye(2))) ;; OTHERS[{index}]
        bg.Prior({hyper}, {hyper})
    """, """
        None ;; 1 ;; 'text' ;; object() ;; {}
    """),
    "cli_rows": kind("'data.parquet' ;; 'rows' ;; 'rows.npy' ;; 'data.feather'", "'./rows'", """
        '' ;; 'nope' ;; 'no_rows' ;; 'data.csv' ;; 'gaps.parquet' ;; 'cut.parquet' ;; '-' ;; 'faithful' ;; 'loop' ;; 'fifo'
    """),
    "cli_data": kind("""
        'data.csv' ;; 'data.tsv' ;; 'data.parquet' ;; 'faithful' ;; 'DATA.CSV' ;; 'names.csv' ;; 'semicolon.csv'
    """, """
        'bare.csv' ;; 'ragged.csv' ;; './data.csv' ;; '~/data.csv' ;; '-'
    """, """
        '' ;; 'nope' ;; '.' ;; 'empty.csv' ;; 'zeros.csv' ;; 'file.txt' ;; 'text.csv' ;; 'missing.csv'
        'binary.parquet' ;; 'broken.csv.gz' ;; 'draws.nc' ;; 'loop' ;; 'fifo' ;; '/proc/self/mem' ;; '/dev/null'
        'a\\0b' ;; 'x' * 5000 ;; 'faithful.csv' ;; '[red]' ;; 'file.txt/below' ;; '\\udcff'
    """),
    "cli_count": kind("""
        '2' ;; '3' ;; '4'
    """, """
        '1' ;; '41' ;; '+2' ;; ' 2' ;; '2_0' ;; '99999999999999999999' ;; '٣'
    """, """
        '' ;; 'x' ;; '2.5' ;; 'nan' ;; '1e3' ;; '[red]' ;; '2,3' ;; 'a\\0b'
    """),
    "cli_ks": kind("""
        '2' ;; '1:2' ;; '1,2'
    """, """
        '41' ;; '2:1' ;; '1:3:2' ;; ' 2 ' ;; '1:41' ;; '2,2' ;; '1,,2' ;; '1:1000000000'
        '99999999999999999999'
    """, """
        '' ;; 'x' ;; '0' ;; '-1' ;; ':' ;; '1:' ;; ',' ;; '2.5' ;; 'nan' ;; '[red]' ;; '0:2' ;; 'a:b'
    """),
    "cli_engine": kind("'gibbs' ;; 'cavi'", "'exact'", "'em' ;; '' ;; 'nope' ;; 'gibbs,cavi' ;; '[red]' ;; 'a\\0b'"),
    "cli_prior_of_k": kind("'bnb' ;; 'uniform:4' ;; 'geometric:0.5'", """
        'poisson:1' ;; 'fixed:2' ;; ' UNIFORM:3 ' ;; 'bnb:1,4,3'
    """, """
        '' ;; 'x' ;; 'uniform' ;; 'uniform:' ;; 'uniform:0' ;; 'uniform:2.5' ;; 'poisson:nan' ;; 'bnb:1' ;; 'fixed:-1'
        '[red]' ;; 'poisson:1,2' ;; 'geometric:2' ;; 'a\\0b'
    """),
    "cli_concentration": kind("'static:1' ;; 'dynamic:1'", "'static:1e-6' ;; ' DYNAMIC:0.5 '", """
        '' ;; 'static' ;; 'static:x' ;; 'static:-1' ;; 'dynamic:nan' ;; 'gamma:1' ;; 'static:1,2' ;; '[red]' ;; 'a\\0b'
    """),
    "cli_share": kind("'0.05' ;; '0.5'", "'1e-300' ;; '0.999999'", "'' ;; 'x' ;; '0' ;; '1' ;; '-1' ;; 'nan' ;; 'inf' ;; '2'"),
    "cli_factor": kind("'2' ;; '2.5'", "'1' ;; '1e6'", "'' ;; 'x' ;; '0.5' ;; '-1' ;; 'nan' ;; 'inf'"),
    "cli_nc": kind("'new.nc'", "'new/below.nc' ;; ' .nc' ;; '[red].nc'", """
        '' ;; 'out' ;; '.nc' ;; 'file.txt' ;; 'file.txt/a.nc' ;; '/proc/x.nc' ;; 'a\\0b.nc' ;; 'x' * 5000 + '.nc'
    """),
    "cli_csv": kind("'new.csv'", "'new/below.csv' ;; '[red].csv'", """
        '' ;; 'out' ;; '.csv' ;; 'file.txt' ;; 'file.txt/a.csv' ;; '/proc/x.csv' ;; 'a\\0b.csv' ;; 'x' * 5000 + '.csv'
    """),
    "cli_engines": kind("""
        'em' ;; 'em,cavi' ;; ' em , cavi '
    """, """
        'em,em' ;; 'em,,cavi' ;; 'EM'
    """, """
        'nope' ;; '' ;; ',' ;; 'em,nope' ;; '[red]' ;; 'a\\0b' ;; 'em;gibbs'
    """),
    "cli_path": kind("""
        'out' ;; 'new/below' ;; 'ü €' ;; '[red]'
    """, """
        '' ;; '.'
    """, """
        'file.txt' ;; 'file.txt/below' ;; '/proc/x' ;; '/dev/null' ;; 'a\\0b' ;; 'x' * 5000 ;; 'loop' ;; 'fifo'
    """),
    "cli_columns": kind("""
        'a,b' ;; 'b' ;; ' a , b '
    """, """
        'a,a' ;; ',' ;; '' ;; 'b,a' ;; '0,1'
    """, """
        'nope' ;; 'a,nope' ;; '[red]' ;; 'a\\0b' ;; 'A' ;; '$b_'
    """),
    "cli_labels": kind("", "'a' ;; 'b' ;; ' b '", "'nope' ;; '[red]' ;; 'a\\0b' ;; 'a,b' ;; '' ;; 'A'"),
    "cli_family": kind("""
        'full' ;; 'EEI' ;; 'tied'
    """, """
        'FULL' ;; ' full' ;; 'vvv'
    """, """
        '' ;; 'nope' ;; 'full,tied' ;; '[red]' ;; 'a\\0b' ;; '0'
    """),
    "cli_families": kind("""
        'EII' ;; 'EII,VII' ;; 'full,tied'
    """, """
        'all' ;; 'EII,EII' ;; 'EII,' ;; 'FULL'
    """, """
        '' ;; ',' ;; 'nope' ;; 'EII,nope' ;; '[red]' ;; 'a\\0b' ;; '0'
    """),
    "cli_word": kind("", """
        'bic' ;; 'icl' ;; 'none' ;; 'default' ;; 'component' ;; 'chain'
    """, """
        '' ;; 'nope' ;; '0' ;; '[red]' ;; 'a\\0b' ;; 'x' * 5000 ;; '\\x1b[31m'
    """),
    "cli_draws": kind("'draws.nc'", """
        'other.nc' ;; './draws.nc'
    """, """
        '' ;; 'nope' ;; '.' ;; 'data.csv' ;; 'broken.nc' ;; 'file.txt' ;; 'zeros.csv' ;; 'loop' ;; 'fifo'
        '/dev/null' ;; 'a\\0b' ;; 'x' * 5000 ;; '[red]' ;; 'http://localhost:1/x.nc'
    """),
    "cli_also": kind("""
        'stan=draws.nc' ;; 'my-run=draws.nc'
    """, """
        ' stan = draws.nc ' ;; 'stan=other.nc' ;; 'ü=draws.nc'
    """, """
        '' ;; 'stan' ;; 'stan=' ;; '=draws.nc' ;; 'gibbs=draws.nc' ;; 'stan=nope' ;; 'a/b=draws.nc' ;; 'stan=broken.nc'
        'stan=data.csv' ;; '[red]=draws.nc' ;; 'a\\0b=draws.nc' ;; 'x=a\\0b' ;; 'stan=.' ;; 'stan=fifo' ;; 'x=loop'
    """),
    "cli_reference": kind("""
        'draws.nc' ;; 'stan' ;; './draws.nc'
    """, """
        'gibbs' ;; 'other.nc' ;; 'exact'
    """, """
        '' ;; 'em' ;; 'nope' ;; 'nope.nc' ;; 'data.csv' ;; '[red]' ;; 'a\\0b' ;; 'x' * 5000 ;; '.' ;; 'broken.nc' ;; 'fifo'
    """),
    "cli_names": kind("""
        'means=means' ;; 'weights=weights,means=means'
    """, """
        'means=weights' ;; 'means=means,means=weights' ;; '' ;; ',' ;; ' means = means '
    """, """
        'nope' ;; 'means' ;; 'means=' ;; '=means' ;; 'mean=means' ;; 'means=nope' ;; '[red]' ;; 'a\\0b=c'
        'sds=means'
    """),
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
