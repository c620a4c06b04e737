namespace ModelPack.Compiler;

/// <summary>How far a model has come. A pass requires one phase and ensures the same or a later one.</summary>
public enum Phase
{
    /// <summary>As read from the file.</summary>
    Imported,

    /// <summary>Constants are initializers, no dead or identity nodes.</summary>
    Canonical,

    /// <summary>Statistics of activations are attached.</summary>
    Calibrated,

    /// <summary>Weights have their final encodings.</summary>
    Compressed,

    /// <summary>Kernels are chosen.</summary>
    Planned,
}
