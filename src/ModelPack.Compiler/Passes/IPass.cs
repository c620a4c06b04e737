namespace ModelPack.Compiler;

/// <summary>A function from one immutable model snapshot to the next. Returning the same reference means "unchanged".</summary>
public interface IPass
{
    /// <summary>The verb used in recipes and on the command line, for example <c>fuse-batchnorm</c>.</summary>
    string Name { get; }

    /// <summary>The phase the input must have reached.</summary>
    Phase Requires { get; }

    /// <summary>The phase the output has reached.</summary>
    Phase Ensures { get; }

    /// <exception cref="ModelPackException">MP2xxx: the pass cannot do what its options ask.</exception>
    Model Run(Model model, PassContext context);
}
