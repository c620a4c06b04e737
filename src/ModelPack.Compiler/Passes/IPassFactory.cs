namespace ModelPack.Compiler;

/// <summary>Describes a registered pass and makes it from options. One per line in <c>PassCatalog</c>.</summary>
public interface IPassFactory
{
    /// <summary>The pass name.</summary>
    string Name { get; }

    /// <summary>One line for help texts.</summary>
    string Summary { get; }

    /// <summary>Options with types, defaults and meaning: for help texts and the recipe schema.</summary>
    IReadOnlyList<PassOption> Options { get; }

    /// <summary>Makes the pass.</summary>
    /// <param name="options">Checked options of this pass, defaults filled in.</param>
    /// <param name="rules">Per-tensor overrides of those options that say so; empty for passes without such options.</param>
    IPass Create(PassOptions options, TensorRules rules);
}
