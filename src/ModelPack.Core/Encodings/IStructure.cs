namespace ModelPack;

/// <summary>A structural encoding: how values are composed from component tensors. Registered in <c>Structures</c>; stateless.</summary>
public interface IStructure
{
    /// <summary>The registered name, lower case.</summary>
    string Id { get; }

    /// <summary>One line for <c>modelpack formats</c>.</summary>
    string Summary { get; }

    /// <summary>Checks the arguments and component shapes of <paramref name="encoding"/>.</summary>
    /// <exception cref="ModelPackException">MP1020 or MP1022.</exception>
    void Validate(StructuredEncoding encoding);

    /// <summary>Values of the structure, read through readers of its components.</summary>
    IValueReader Open(StructuredEncoding encoding, IReadOnlyList<IValueReader> components);
}
