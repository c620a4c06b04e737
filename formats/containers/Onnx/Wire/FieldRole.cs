namespace ModelPack.Containers.Onnx;

/// <summary>What the scanner does with a field.</summary>
internal enum FieldRole : byte
{
    /// <summary>Copied as it is: scalars, bytes, unknown fields.</summary>
    Copy,

    /// <summary>Copied and checked to be UTF-8.</summary>
    Text,

    /// <summary>Walked into.</summary>
    Message,

    /// <summary>Elements of a tensor: recorded by position, never copied.</summary>
    Data,

    /// <summary>The private range field: not allowed in a file.</summary>
    Reserved,
}
