using ModelPack.Compiler;
using Xunit;

namespace ModelPack.Tests.Compiler;

public sealed class PassManagerTests
{
    private static readonly Model Start = Ir.Model(Ir.Graph("x", "y", [Ir.Op("Relu", "x", "y")]));

    [Fact]
    public void Run_unchanging_passes_returns_the_same_reference()
    {
        var manager = new PassManager([new Custom("a"), new Custom("b")]);

        Assert.Same(Start, manager.Run(Start, Ir.Context()));
    }

    [Fact]
    public void Run_pass_before_its_phase_is_MP2002()
    {
        var manager = new PassManager([new Custom("first"), new Custom("late") { Requires = Phase.Canonical }]);

        ModelPackException e = Fails(manager, ErrorCodes.PhaseNotReached);

        Assert.Contains("'late' (after first)", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Run_pass_that_breaks_the_graph_is_named_with_those_before()
    {
        var manager = new PassManager([new Custom("a"), new Custom("b"), new Custom("breaker", m => m with { Graph = m.Graph with { Nodes = [Ir.Op("Relu", "ghost", "y")] } })]);

        ModelPackException e = Fails(manager, ErrorCodes.UnresolvedValue);

        Assert.Contains("pass 'breaker' (after a, b)", e.Message, StringComparison.Ordinal);
        Assert.Contains("Relu(y)", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Run_pass_that_throws_an_unforeseen_exception_is_MP2001()
    {
        ModelPackException e = Fails(new PassManager([new Custom("buggy", _ => throw new InvalidOperationException("oops"))]), ErrorCodes.PassFailed);

        Assert.Contains("'buggy' (the first pass): InvalidOperationException: oops", e.Message, StringComparison.Ordinal);
        Assert.IsType<InvalidOperationException>(e.InnerException);
    }

    [Fact]
    public void Run_pass_that_reports_an_error_keeps_its_code_and_path()
    {
        var error = new ModelPackException(ErrorCodes.FileTruncated, "short", "m.onnx", "w");

        ModelPackException e = Fails(new PassManager([new Custom("reader", _ => throw error)]), ErrorCodes.FileTruncated);

        Assert.Equal("m.onnx", e.Path);
        Assert.Contains("tensor 'w': short", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Run_cancelled_throws_OperationCanceledException()
    {
        using var source = new CancellationTokenSource();
        var manager = new PassManager([new Custom("a", m => { source.Cancel(); return m; }), new Custom("b")]);

        Assert.ThrowsAny<OperationCanceledException>(() => manager.Run(Start, Ir.Context(source.Token)));
    }

    [Fact]
    public void Run_derives_a_seed_per_pass_and_position()
    {
        var seeds = new List<ulong>();
        PassContext Run(ulong seed)
        {
            var context = new PassContext { OpenValues = _ => throw new InvalidOperationException(), Seed = seed };
            Model Record(Model m)
            {
                seeds.Add(context.PassSeed);
                return m;
            }

            new PassManager([new Custom("a", Record), new Custom("a", Record), new Custom("b", Record)]).Run(Start, context);
            return context;
        }

        Run(1);
        Run(1);
        Run(2);

        Assert.Equal(seeds[..3], seeds[3..6]);
        Assert.Equal(6, seeds.Distinct().Count());
    }

    [Fact]
    public void Run_measures_seconds_with_the_given_clock_only()
    {
        var clock = new Clock();
        var context = new PassContext { OpenValues = _ => throw new InvalidOperationException(), Time = clock };

        new PassManager([new Custom("a", m => { clock.Seconds += 3; return m; })]).Run(Start, context);

        Measurement measured = Assert.Single(context.Measurements);
        Assert.Equal(("a", "seconds", 3.0), (measured.Pass, measured.Quantity, measured.Value));
        Assert.Empty(Measured(Ir.Context()));

        static IReadOnlyList<Measurement> Measured(PassContext context)
        {
            new PassManager([new Custom("a")]).Run(Start, context);
            return context.Measurements;
        }
    }

    private static ModelPackException Fails(PassManager manager, ErrorCode code)
    {
        ModelPackException e = Assert.Throws<ModelPackException>(() => manager.Run(Start, Ir.Context()));
        Assert.Equal(code, e.Code);
        return e;
    }

    private sealed class Custom(string name, Func<Model, Model>? run = null) : IPass
    {
        public string Name => name;

        public Phase Requires { get; init; }

        public Phase Ensures { get; init; }

        public Model Run(Model model, PassContext context) => run?.Invoke(model) ?? model;
    }

    private sealed class Clock : TimeProvider
    {
        public long Seconds { get; set; }

        public override long TimestampFrequency => 1;

        public override long GetTimestamp() => Seconds;
    }
}
